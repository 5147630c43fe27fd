import type { Kafka as KafkaJsKafka } from 'kafkajs';
import type { Logger } from 'pino';
import { errorMessage, ReachflowError } from '../errors.ts';
import { type KafkaConfig, physicalName } from './config.ts';
import { kafkajs } from './kafkajs.ts';
import { kafkaSecurity } from './security.ts';

const { Kafka, logLevel } = kafkajs;

/** One connection profile to a cluster, shared by everything in `runtime/kafka`. */
export interface KafkaClient {
  readonly kafka: KafkaJsKafka;
  readonly config: KafkaConfig;
  readonly logger: Logger;
  /** Logical name → name on the broker. */
  readonly physical: (name: string) => string;
  /** Name on the broker → logical name; undefined for another namespace's, or another generation's. */
  readonly logical: (name: string) => string | undefined;
  /** The namespace that a name is in: that of the configuration, or of the generation that has it. */
  readonly namespaceOf: (name: string) => string;
}

/**
 * Which generation a topic, group or transactional id is of, by its logical name; undefined: of the first. A replay writes
 * a generation of its own (docs/adr/0021-replay.md), whose names stand beside the others on the same brokers.
 */
export type GenerationOf = (name: string) => string | undefined;

const FIRST: GenerationOf = () => undefined;

/**
 * KafkaJS under Node ≥ 24 schedules its request queue with a negative delay once a request was due in the past;
 * Node warns each time and uses 1 ms, which is right. Only that warning is silenced.
 */
function silenceNegativeTimeoutWarning(): void {
  const emit = process.emitWarning.bind(process);
  if ((process.emitWarning as { reachflow?: boolean }).reachflow === true) return;
  const filtered = ((warning: string | Error, ...rest: unknown[]) => {
    const name = typeof warning === 'string' ? rest[0] : warning.name;
    if (name === 'TimeoutNegativeWarning') return;
    (emit as (...args: unknown[]) => void)(warning, ...rest);
  }) as typeof process.emitWarning & { reachflow?: boolean };
  filtered.reachflow = true;
  process.emitWarning = filtered;
}

/** Does not connect: producers, consumers and admins made from it do. @throws what `kafkaSecurity` does. */
export function createKafkaClient(
  config: KafkaConfig,
  logger: Logger,
  generationOf: GenerationOf = FIRST,
): KafkaClient {
  silenceNegativeTimeoutWarning();
  const log = logger.child({ component: 'kafka' });
  const kafka = new Kafka({
    clientId: config.clientId,
    brokers: [...config.brokers],
    ...kafkaSecurity(config),
    connectionTimeout: 3_000,
    requestTimeout: 30_000,
    retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 8 },
    logLevel: logLevel.WARN,
    logCreator:
      () =>
      ({ level, namespace, log: entry }) => {
        const { message, timestamp: _timestamp, logger: _logger, ...fields } = entry;
        // Whatever is retried is an error to these; the code that gives up reports what matters.
        const retried = ['Connection', 'BrokerPool', 'Producer'].includes(namespace);
        const method = level <= logLevel.ERROR && !retried ? 'warn' : 'debug';
        log[method]({ namespace, ...fields, stack: undefined }, message);
      },
  });
  return { kafka, config, logger: log, ...namesOf(config, generationOf) };
}

/** Names of generation `fix` begin with `r-fix.`, after the namespace. */
function namesOf(
  config: KafkaConfig,
  generationOf: GenerationOf,
): Pick<KafkaClient, 'physical' | 'logical' | 'namespaceOf'> {
  const prefix = physicalName(config, '');
  const physical = (name: string) => {
    const generation = generationOf(name);
    return physicalName(config, generation === undefined ? name : `r-${generation}.${name}`);
  };
  return {
    physical,
    logical(name) {
      if (!name.startsWith(prefix)) return undefined;
      const plain = name.slice(prefix.length);
      const [, own = plain] = /^r-[a-z0-9_]+\.(.+)$/.exec(plain) ?? [];
      return physical(own) === name ? own : undefined;
    },
    namespaceOf(name) {
      const generation = generationOf(name);
      return generation === undefined ? config.namespace : physicalName(config, `r-${generation}`);
    },
  };
}

/** The name of what KafkaJS throws when a broker refuses our login; it has no code. */
const LOGIN_REFUSED = 'KafkaJSSASLAuthenticationError';

/** Wraps what KafkaJS throws when no broker can do it now, or none lets us in. */
export function kafkaUnavailable(what: string, cause: unknown): ReachflowError {
  const message = `${what}: ${errorMessage(cause)}`;
  if (cause instanceof Error && cause.name === LOGIN_REFUSED)
    return new ReachflowError(message, {
      code: 'KAFKA_LOGIN_REFUSED',
      domain: 'user',
      retry: 'backoff',
      hint: 'Check kafka.sasl: mechanism, username and password, as the brokers have them.',
      cause,
    });
  return new ReachflowError(message, {
    code: 'KAFKA_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: 'Are the brokers up, and are kafka.brokers and kafka.tls right? `reachflow stack status` shows the embedded ones.',
    cause,
  });
}
