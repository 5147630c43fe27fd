import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Logger, pino } from 'pino';
import { type AppConfig, loadAppConfig } from '../../cli/config.ts';
import { upStack } from '../../compose/stack.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createKafkaClient, type KafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { readerSchemaText } from '../../schemas/avro.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { type TopicName, topics } from '../../schemas/topics.ts';
import type { RunNamespace } from './protocol.ts';

/** Topics that every contestant reads or writes. Its own ones it creates itself. */
const SHARED_TOPICS = ['webhook.received', 'event.recorded', 'metric.tenant.count'] as const;

/** A namespace of topics for one run. */
export interface Arena extends RunNamespace {
  readonly client: KafkaClient;
  readonly inputSchemaId: number;
  /** Removes its topics, whoever created them. */
  remove(): Promise<void>;
}

/** Stores that a scenario may write to. */
export type StoreName = 'postgres' | 'clickhouse' | 'elasticsearch';

/** Their sections of the configuration, with the addresses of the stack that the benchmark runs on. */
export type Stores = Readonly<Pick<AppConfig, StoreName>>;

/** The broker and the registry that all contestants share, and the stores. */
export interface Environment {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly partitions: number;
  readonly stores: Stores;
  readonly logger: Logger;
  /** Makes a namespace with empty topics. @param label tells people what it is for. */
  arena(label: string): Promise<Arena>;
  /** A new directory for local state and logs. */
  directory(label: string): Promise<string>;
  /** Removes the directories that it made: after a success nobody needs the logs. */
  close(): Promise<void>;
  /** Removes the topics that benchmarks which were interrupted have left; returns how many. */
  clean(): Promise<number>;
}

export interface EnvironmentOptions {
  /** Directory of the embedded stack to start, or to find running; absent: what the configuration says. */
  readonly stackDir?: string | undefined;
  readonly partitions: number;
  /** Stores to start beside broker and registry; none when absent. */
  readonly stores?: readonly StoreName[] | undefined;
  readonly onProgress: (text: string) => void;
}

interface Found {
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly stores: Stores;
}

async function endpointsOf(options: EnvironmentOptions): Promise<Found> {
  const { config } = await loadAppConfig();
  const { kafka, registry, postgres, clickhouse, elasticsearch } = config;
  const stores = { postgres, clickhouse, elasticsearch };
  if (options.stackDir === undefined) {
    return { brokers: kafka.brokers, registryUrl: registry.url, stores };
  }
  const { endpoints } = await upStack({
    engine: 'embedded',
    dir: resolve(options.stackDir),
    cacheDir: resolve(config.stack.cacheDir),
    components: ['kafka', 'registry', ...(options.stores ?? [])],
    onProgress: ({ component, status, message }) => {
      if (status !== 'working') options.onProgress(`${component}: ${message}`);
    },
  });
  return {
    brokers: endpoints.kafka.brokers,
    registryUrl: endpoints.registry.url,
    stores: {
      postgres: { ...postgres, ...endpoints.postgres },
      clickhouse: { ...clickhouse, ...endpoints.clickhouse },
      elasticsearch: { ...elasticsearch, ...endpoints.elasticsearch },
    },
  };
}

/** Every namespace's name begins with it. */
const PREFIX = 'bench-';

/** Removes the topics whose names on the broker begin so; returns how many. */
async function removeTopics(client: KafkaClient, prefix: string): Promise<number> {
  const admin = client.kafka.admin();
  await admin.connect();
  try {
    const names = (await admin.listTopics()).filter((name) => name.startsWith(prefix));
    if (names.length > 0) await admin.deleteTopics({ topics: names });
    return names.length;
  } finally {
    await admin.disconnect();
  }
}

/**
 * Finds the stack, or starts one of Kafka, the registry and the stores asked for, which is left running.
 * @throws ReachflowError when it cannot be started, or does not answer.
 */
export async function openEnvironment(options: EnvironmentOptions): Promise<Environment> {
  const { brokers, registryUrl, stores } = await endpointsOf(options);
  const { partitions } = options;
  const logger = pino({ level: 'error' }, pino.destination(2));
  const registry = createSchemaRegistryClient(registryUrl);
  const root = resolve('.reachflow', 'bench', `${Date.now()}-${process.pid}`);
  const kafkaConfig = (namespace: string) =>
    kafkaConfigSchema.parse({ brokers: [...brokers], namespace, partitions });

  async function arena(label: string): Promise<Arena> {
    const name = `${PREFIX}${label}-${randomBytes(3).toString('hex')}`;
    const client = createKafkaClient(kafkaConfig(name), logger);
    const plans = SHARED_TOPICS.map((topic) => ({
      ...{ name: topic, partitions, cleanup: 'delete' as const, retentionMs: -1 },
      maxMessageBytes: topics[topic].maxMessageBytes,
    }));
    await ensureTopics(client, plans);
    const register = (topic: TopicName) =>
      registry.register(`${client.physical(topic)}-value`, readerSchemaText(topic));
    return {
      name,
      client,
      inputSchemaId: await register('webhook.received'),
      eventSchemaId: await register('event.recorded'),
      countSchemaId: await register('metric.tenant.count'),
      remove: async () => void (await removeTopics(client, `${name}.`)),
    };
  }

  async function directory(label: string): Promise<string> {
    const path = join(root, `${label}-${randomBytes(3).toString('hex')}`);
    await mkdir(path, { recursive: true });
    return path;
  }

  return {
    ...{ brokers, registryUrl, partitions, stores, logger, arena, directory },
    close: () => rm(root, { recursive: true, force: true }),
    clean: () => removeTopics(createKafkaClient(kafkaConfig(''), logger), PREFIX),
  };
}

/** Removes a contestant's local state: what it has is then what the broker, or a checkpoint, gives back. */
export async function wipeState(directory: string): Promise<void> {
  await rm(join(directory, 'state'), { recursive: true, force: true });
  await mkdir(join(directory, 'state'), { recursive: true });
}
