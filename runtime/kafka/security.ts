import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { SASLOptions } from 'kafkajs';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaConfig } from './config.ts';

/** What the client needs to connect to brokers that are not open to everyone. */
export interface KafkaSecurity {
  readonly ssl: ConnectionOptions | false;
  readonly sasl?: SASLOptions;
}

/**
 * TLS and login of a configuration; reads the PEM files it names.
 * @throws ReachflowError `KAFKA_TLS_FILE` for a file that cannot be read, `KAFKA_SECURITY_INCOMPLETE` for a
 *   certificate without its key (or the reverse), a login without a user, or files without `kafka.tls.enabled`.
 */
export function kafkaSecurity({ tls, sasl }: Pick<KafkaConfig, 'tls' | 'sasl'>): KafkaSecurity {
  return { ssl: tlsOptions(tls), ...saslOptions(sasl) };
}

function tlsOptions(tls: KafkaConfig['tls']): ConnectionOptions | false {
  const { enabled, caFile, certFile, keyFile, keyPassphrase } = tls;
  if (!enabled) {
    if (caFile !== '' || certFile !== '' || keyFile !== '')
      throw incomplete('kafka.tls names files, but kafka.tls.enabled is false', 'Set it to true.');
    return false;
  }
  if ((certFile === '') !== (keyFile === ''))
    throw incomplete(
      `kafka.tls has ${certFile === '' ? 'a key without its certificate' : 'a certificate without its key'}`,
      'Set kafka.tls.certFile and kafka.tls.keyFile, both or neither.',
    );
  return {
    ...(caFile === '' ? {} : { ca: pem('caFile', caFile) }),
    ...(certFile === '' ? {} : { cert: pem('certFile', certFile), key: pem('keyFile', keyFile) }),
    ...(keyPassphrase === '' ? {} : { passphrase: keyPassphrase }),
  };
}

function saslOptions({ mechanism, username, password }: KafkaConfig['sasl']): {
  sasl?: SASLOptions;
} {
  if (mechanism === 'none') {
    if (username !== '' || password !== '')
      throw incomplete(
        'kafka.sasl has a user or a password, but its mechanism is none',
        'Set kafka.sasl.mechanism: plain, scram-sha-256 or scram-sha-512.',
      );
    return {};
  }
  if (username === '' || password === '')
    throw incomplete(
      `kafka.sasl.mechanism is ${mechanism}, but there is no ${username === '' ? 'user' : 'password'}`,
      'Set kafka.sasl.username and kafka.sasl.password.',
    );
  return { sasl: { mechanism, username, password } };
}

function pem(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new ReachflowError(
      `kafka.tls.${setting}: ${file} cannot be read: ${errorMessage(cause)}`,
      {
        code: 'KAFKA_TLS_FILE',
        domain: 'user',
        hint: 'Name a PEM file that this user may read.',
        cause,
      },
    );
  }
}

function incomplete(message: string, hint: string): ReachflowError {
  return new ReachflowError(message, {
    code: 'KAFKA_SECURITY_INCOMPLETE',
    domain: 'user',
    hint,
  });
}
