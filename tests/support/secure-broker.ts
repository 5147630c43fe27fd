import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { stackConfigSchema } from '../../compose/config.ts';
import { toProperties } from '../../compose/embedded/components/kafka.ts';
import { choosePorts } from '../../compose/embedded/ports.ts';
import { unitHome } from '../../compose/embedded/provision/unit.ts';
import { unitOf } from '../../compose/embedded/provision/units.ts';
import { findJdk } from '../../compose/embedded/toolchain.ts';

const run = promisify(execFile);
const START_LIMIT_MS = 60_000;

/** Everyone that the broker knows. */
export const scramUser = { username: 'reachflow', password: 'scram-secret' } as const;
export const plainUser = { username: 'reachflow-plain', password: 'plain-secret' } as const;

/** A Kafka that lets nobody in without a login over TLS, or a certificate. */
export interface SecureBroker {
  /** SASL_SSL: `scramUser` by SCRAM-SHA-512, `plainUser` by PLAIN. */
  readonly sasl: string;
  /** SSL that asks for a certificate. */
  readonly mutualTls: string;
  /** PEM files: the broker's certificate vouches for itself; ours is one it trusts. */
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string };
  remove(): Promise<void>;
}

/** Starts one on new data, of the jars that the embedded stack has provisioned. */
export async function startSecureBroker(): Promise<SecureBroker> {
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-secure-broker-'));
  let child: ChildProcess | undefined;
  const remove = async () => {
    if (child !== undefined && child.exitCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all([certificate(dir, 'broker'), certificate(dir, 'client')]);
    const store = [join(dir, 'broker.key'), join(dir, 'broker.pem')];
    const pems = await Promise.all(store.map((file) => readFile(file, 'utf8')));
    await writeFile(join(dir, 'broker.store'), pems.join(''));
    // Of the stack's names for ports, three that a broker without a stack has no use for.
    const ports = await choosePorts(dir, {}, new Set());
    const [sasl, mutualTls, inner, controller] = [
      ports.registry,
      ports.connect,
      ports.kafka,
      ports.kafkaController,
    ].map((port) => `127.0.0.1:${port}`) as [string, string, string, string];
    const config = join(dir, 'server.properties');
    await writeFile(config, toProperties(properties(dir, { sasl, mutualTls, inner, controller })));
    await format(config);
    const log = await open(join(dir, 'broker.log'), 'w');
    child = spawn(...java(['kafka.Kafka', config]), { stdio: ['ignore', log.fd, log.fd] });
    await log.close();
    await answering(child, ports.registry);
    const files = {
      ca: join(dir, 'broker.pem'),
      cert: join(dir, 'client.pem'),
      key: join(dir, 'client.key'),
    };
    return { sasl, mutualTls, files, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A key, and a certificate that it has signed itself, for 127.0.0.1. */
async function certificate(dir: string, name: string): Promise<void> {
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`],
    ...['-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', join(dir, `${name}.key`), '-out', join(dir, `${name}.pem`)],
  ]);
}

function java(args: readonly string[]): [string, string[]] {
  const cacheDir = process.env['REACHFLOW_STACK_CACHE_DIR'] ?? stackConfigSchema.parse({}).cacheDir;
  const jars = join(unitHome(cacheDir, unitOf('kafka')), 'lib', '*');
  const flags = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  return [join(findJdk().home, 'bin', 'java'), [...flags, '-cp', jars, ...args]];
}

async function format(config: string): Promise<void> {
  const { username, password } = scramUser;
  const scram = ['--add-scram', `SCRAM-SHA-512=[name=${username},password=${password}]`];
  const id = Buffer.from('secure-broker-01').toString('base64url');
  await run(...java(['kafka.tools.StorageTool', 'format', '-t', id, '-c', config, ...scram]));
}

function properties(
  dir: string,
  at: Readonly<Record<'sasl' | 'mutualTls' | 'inner' | 'controller', string>>,
): Record<string, string | number | boolean> {
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  const { username, password } = plainUser;
  return {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${at.controller}`,
    listeners: `LOGIN://${at.sasl},CERTIFICATE://${at.mutualTls},INNER://${at.inner},CONTROLLER://${at.controller}`,
    'advertised.listeners': `LOGIN://${at.sasl},CERTIFICATE://${at.mutualTls},INNER://${at.inner}`,
    'inter.broker.listener.name': 'INNER',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map':
      'LOGIN:SASL_SSL,CERTIFICATE:SSL,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'listener.name.login.plain.sasl.jaas.config': `${plain} user_${username}="${password}";`,
    'listener.name.login.scram-sha-512.sasl.jaas.config': scram,
    // A PEM key store is a file with the key and its certificates (KIP-651).
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': join(dir, 'broker.store'),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': join(dir, 'client.pem'),
    'listener.name.certificate.ssl.client.auth': 'required',
    'log.dirs': join(dir, 'data'),
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
  };
}

/** Waits until the port accepts connections. @throws Error when the broker ends, or is not there in time. */
async function answering(child: ChildProcess, port: number): Promise<void> {
  const end = Date.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`the broker ended with ${child.exitCode}`);
    if (Date.now() > end) throw new Error(`no broker within ${START_LIMIT_MS} ms`);
    await sleep(100);
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
