import type { Logger } from 'pino';
import type { Connector } from '../connectors/connector.ts';
import { type ConnectorConfigs, connectors } from '../connectors/registry.ts';
import { pipelines } from '../pipelines/catalog.ts';
import type { DeliveryConfig } from '../runtime/delivery/config.ts';
import { sinkGroup } from '../runtime/delivery/sink-runner.ts';
import { Engine } from '../runtime/engine.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { createPublisher } from '../runtime/kafka/batching-publisher.ts';
import { createKafkaClient, type KafkaClient } from '../runtime/kafka/client.ts';
import type { KafkaConfig, RegistryConfig } from '../runtime/kafka/config.ts';
import type { WatchedGroup } from '../runtime/kafka/stats.ts';
import { groupOf } from '../runtime/task/task.ts';
import { TopicCodec } from '../schemas/codec.ts';
import { createSchemaRegistryClient } from '../schemas/registry.ts';
import { type SinkConfigs, sinks } from '../sinks/registry.ts';

/** The sections of the root configuration that a running product reads. */
export interface ProductConfig extends ConnectorConfigs, SinkConfigs {
  readonly kafka: KafkaConfig;
  readonly registry: RegistryConfig;
  readonly delivery: DeliveryConfig;
}

export interface Product {
  readonly connectors: readonly Connector[];
  readonly engine: Engine;
  /** Connectors first, then what they feed; each finishes what it has begun. Idempotent. */
  stop(): Promise<void>;
}

/** Names that `--only` takes. */
export const partNames: readonly string[] = [
  ...connectors.map(({ name }) => name),
  ...pipelines.map(({ name }) => name),
  ...sinks.map(({ name }) => name),
];

/** Client and codec of a configuration. Connects to nothing. */
export function kafkaOf(
  config: Pick<ProductConfig, 'kafka' | 'registry'>,
  logger: Logger,
): { client: KafkaClient; codec: TopicCodec } {
  const client = createKafkaClient(config.kafka, logger);
  const codec = new TopicCodec(createSchemaRegistryClient(config.registry.url), client.physical);
  return { client, codec };
}

/** Every consumer group of the product with the topics it reads, for lag. */
export function watchedGroups(config: SinkConfigs, logger: Logger): WatchedGroup[] {
  const processors = pipelines.flatMap(({ name, processors: specs }) =>
    specs.map((spec) => ({ group: groupOf(name, spec.name), topics: [spec.input] })),
  );
  const stores = sinks.map(({ name, createSink }) => ({
    group: sinkGroup(name),
    topics: createSink(config, { logger }).topics,
  }));
  return [...processors, ...stores];
}

function selected(only: readonly string[] | undefined, name: string): boolean {
  return only === undefined || only.includes(name);
}

function checkNames(only: readonly string[] | undefined): void {
  const unknown = (only ?? []).filter((name) => !partNames.includes(name));
  if (unknown.length === 0) return;
  throw new ReachflowError(`there is no part named ${unknown.join(', ')}`, {
    code: 'UNKNOWN_PART',
    domain: 'user',
    hint: `The parts are: ${partNames.join(', ')}.`,
  });
}

/**
 * Starts connectors, pipelines and sinks in this process, input last. What was started is stopped again when a
 * later part cannot start.
 * @param options.only names of the parts to start; all when absent.
 * @throws ReachflowError naming the part and what to do.
 */
export async function startProduct(
  config: ProductConfig,
  logger: Logger,
  options: { readonly only?: readonly string[]; readonly onFatal: (error: ReachflowError) => void },
): Promise<Product> {
  const { only, onFatal } = options;
  checkNames(only);
  const { client, codec } = kafkaOf(config, logger);
  const publisher = await createPublisher(client, codec);
  const engine = new Engine({
    client,
    codec,
    publisher,
    pipelines: pipelines.filter(({ name }) => selected(only, name)),
    sinks: sinks
      .filter(({ name }) => selected(only, name))
      .map(({ createSink }) => createSink(config, { logger })),
    delivery: config.delivery,
    logger,
    onFatal,
  });
  const services = {
    publisher,
    logger,
    databaseUrl: config.postgres.url,
    registryUrl: config.registry.url,
    namespace: config.kafka.namespace,
    partitions: config.kafka.partitions,
    replicationFactor: config.kafka.replicationFactor,
  };
  const running = connectors
    .filter(({ name }) => selected(only, name))
    .map(({ create }) => create(config, services));
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= (async () => {
      await Promise.all(running.map((connector) => connector.stop()));
      await engine.stop();
      await publisher.close();
    })();
    return stopping;
  };
  try {
    await engine.start();
    for (const connector of running) await connector.start();
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
  return { connectors: running, engine, stop };
}
