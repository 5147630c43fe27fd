import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Connector } from '../connectors/connector.ts';
import type { ConnectorEnvironment } from '../connectors/debezium/connector-config.ts';
import { type ConnectorConfigs, connectors } from '../connectors/registry.ts';
import type { ConnectorServices } from '../connectors/services.ts';
import { activePipelines, type PipelineConfigs, pipelines } from '../pipelines/catalog.ts';
import type { PipelinesConfig } from '../pipelines/config.ts';
import { backoffMs } from '../runtime/backoff.ts';
import type { CheckpointConfig } from '../runtime/checkpoint/config.ts';
import type { ClaimCheckConfig } from '../runtime/claims/config.ts';
import { type Claims, openClaims } from '../runtime/claims/open.ts';
import { claimCheckingPublisher } from '../runtime/claims/publisher.ts';
import { startSweeper } from '../runtime/claims/sweep.ts';
import type { DeliveryConfig } from '../runtime/delivery/config.ts';
import { sinkGroup } from '../runtime/delivery/sink-runner.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { createLazyPublisher } from '../runtime/kafka/batching-publisher.ts';
import { createKafkaClient, type KafkaClient } from '../runtime/kafka/client.ts';
import type { KafkaConfig, RegistryConfig } from '../runtime/kafka/config.ts';
import type { Publisher } from '../runtime/kafka/publisher.ts';
import type { WatchedGroup } from '../runtime/kafka/stats.ts';
import type { Metrics } from '../runtime/observability/metrics.ts';
import type { Observability } from '../runtime/observability/observability.ts';
import { announce } from '../runtime/observability/process-status.ts';
import type { Service } from '../runtime/service.ts';
import { openSpool, type Spool } from '../runtime/spool/open-spool.ts';
import type { StateConfig } from '../runtime/state/config.ts';
import { localStates } from '../runtime/task/local-states.ts';
import type { StateService } from '../runtime/task/state-service.ts';
import { groupOf, inputsOf } from '../runtime/topology/graph.ts';
import { TopicCodec } from '../schemas/codec.ts';
import { createSchemaRegistryClient } from '../schemas/registry.ts';
import { topicNames } from '../schemas/topics.ts';
import { createSinks, type SinkConfigs, sinkNames } from '../sinks/registry.ts';
import type { SubscriptionsConfig } from '../subscriptions/config.ts';
import { createSubscriptions, SUBSCRIPTIONS } from '../subscriptions/subscriptions.ts';
import { EngineHost } from './engine-host.ts';
import { VERSION } from './version.ts';

/** The sections of the root configuration that a running product reads. */
export interface ProductConfig extends ConnectorConfigs, PipelineConfigs, SinkConfigs {
  readonly kafka: KafkaConfig;
  readonly registry: RegistryConfig;
  readonly claimCheck: ClaimCheckConfig;
  readonly pipelines: PipelinesConfig;
  readonly delivery: DeliveryConfig;
  readonly state: StateConfig;
  readonly checkpoint: CheckpointConfig;
  readonly subscriptions: SubscriptionsConfig;
}

export interface Product {
  readonly connectors: readonly Connector[];
  readonly engine: EngineHost;
  /** Accepts nothing more; each part finishes what it has begun. Idempotent. */
  stop(): Promise<void>;
}

/** Names that `--only` takes. */
export const partNames: readonly string[] = [
  ...connectors.map(({ name }) => name),
  ...pipelines.map(({ name }) => name),
  ...sinkNames,
  SUBSCRIPTIONS,
];

/** Client, codec and claim check of a configuration. Connects to nothing. */
export function kafkaOf(
  config: Pick<ProductConfig, 'kafka' | 'registry' | 'claimCheck'>,
  logger: Logger,
  metrics?: Metrics,
): { client: KafkaClient; codec: TopicCodec; claims: Claims } {
  const client = createKafkaClient(config.kafka, logger);
  const claims = openClaims(config.claimCheck, logger, metrics?.claims);
  return { client, codec: codecOf(config, client, claims), claims };
}

/** The codec of a client's names. */
export function codecOf(
  { registry }: Pick<ProductConfig, 'registry'>,
  client: KafkaClient,
  claims: Claims,
): TopicCodec {
  const connection = createSchemaRegistryClient(registry.url, registry);
  return new TopicCodec(connection, client.physical, claims.reader);
}

/** State of this machine's tasks. */
export function statesOf(
  { state, checkpoint }: Pick<ProductConfig, 'state' | 'checkpoint'>,
  logger: Logger,
): StateService {
  const versions = { reachflow: VERSION, node: process.versions.node };
  return localStates({ state, checkpoint, versions, logger });
}

/** Every consumer group of the product with the topics it reads, for lag. */
export function watchedGroups(
  config: SinkConfigs & PipelineConfigs,
  logger: Logger,
): WatchedGroup[] {
  const tasks = activePipelines(config).flatMap(({ name, subTopologies }) =>
    subTopologies.map((sub) => ({
      group: groupOf(name, sub.name),
      topics: inputsOf(name, sub).map(({ topic }) => topic),
    })),
  );
  const deps = { logger, parts: config.pipelines.optional };
  const stores = createSinks(config, deps).map(({ name, topics }) => ({
    group: sinkGroup(name),
    topics,
  }));
  return [...tasks, ...stores];
}

function selected(only: readonly string[] | undefined, name: string): boolean {
  return only === undefined || only.includes(name);
}

/** @throws ReachflowError `UNKNOWN_PART` for a name that is no part's. */
export function checkParts(only: readonly string[] | undefined): void {
  const unknown = (only ?? []).filter((name) => !partNames.includes(name));
  if (unknown.length === 0) return;
  throw new ReachflowError(`there is no part named ${unknown.join(', ')}`, {
    code: 'UNKNOWN_PART',
    domain: 'user',
    hint: `The parts are: ${partNames.join(', ')}.`,
  });
}

export interface ProductOptions {
  /** Closed by the caller, after the product. */
  readonly observability: Observability;
  /** Names of the parts to start; all when absent. */
  readonly only?: readonly string[];
  /** Which worker of a supervisor this process is, 1…; absent without one. */
  readonly worker?: number;
  /** Ends a start that waits for the brokers. */
  readonly ending?: AbortSignal;
  /** Called when a part gave up for good; the process should stop. */
  readonly onFatal: (error: ReachflowError) => void;
}

/** Connectors that configure something outside, or own a directory: of several workers the first runs them. */
const RUN_ONCE: readonly string[] = ['debezium', 'file'];

function runsHere(name: string, { only, worker }: ProductOptions): boolean {
  if (!selected(only, name)) return false;
  return worker === undefined || worker === 1 || !RUN_ONCE.includes(name);
}

/**
 * Starts connectors, pipelines and sinks in this process. Everything that can be found wrong at once (names, topics,
 * ports, what connectors check) comes before consumer groups are joined: a process that cannot run disturbs none
 * that does. Input that arrives meanwhile waits in its topic. What was started is stopped again when a later part
 * cannot start.
 * @returns when input is taken and the tasks of the partitions assigned to this process run.
 * @throws ReachflowError naming the part and what to do.
 */
export async function startProduct(
  config: ProductConfig,
  logger: Logger,
  options: ProductOptions,
): Promise<Product> {
  const { only, onFatal } = options;
  checkParts(only);
  const { metrics, tracing, process: observed, url } = options.observability;
  const clientId = url === undefined ? config.kafka.clientId : announce(config.kafka.clientId, url);
  const announced = { ...config, kafka: { ...config.kafka, clientId } };
  const { client, codec, claims } = kafkaOf(announced, logger, metrics);
  const ownPipelines = activePipelines(config).filter(({ name }) => selected(only, name));
  const parts = config.pipelines.optional;
  const publisher = createLazyPublisher(client, codec);
  const engine = new EngineHost({
    client,
    codec,
    publisher,
    codecOf: (other) => codecOf(config, other, claims),
    catalog: pipelines,
    pipelines: ownPipelines,
    sinks: (live) => createSinks(config, { logger, parts, live }, (name) => selected(only, name)),
    delivery: config.delivery,
    states: () => statesOf(config, logger),
    logger,
    metrics,
    tracing,
    onFatal,
  });
  const running = connectors
    .filter(({ name }) => runsHere(name, options))
    .map(({ create }) =>
      create(config, {
        ...connectorServices(config, logger, { client, codec, ...checkingIn(claims, publisher) }),
        openSpool: async (topic, spool) => {
          const opened = await openSpool({ client, codec, topic, config: spool, logger });
          return checkingInSpool(claims, opened);
        },
        metrics,
        tracing,
      }),
    );
  const subscriptions = selected(only, SUBSCRIPTIONS)
    ? [createSubscriptions(config.subscriptions, { client, codec, logger, metrics })]
    : [];
  const services = [...running, ...subscriptions];
  observed.show({
    tasks: () => engine.tasks(),
    sinks: () => engine.sinks(),
    connectors: () => Promise.all(services.map((service) => service.status())),
  });
  const stopSweeper = sweepsHere(options)
    ? startSweeper({ ...claims, config: config.claimCheck, logger, metrics: metrics.claims })
    : async () => undefined;
  const stop = stopOnce(services, engine, async () => {
    await Promise.all([stopSweeper(), publisher.close()]);
    claims.storage.close();
  });
  try {
    // Before the connectors: what they accept needs its topic, or a spool.
    await prepare({ engine, codec }, running, logger, options.ending);
    for (const service of services) await service.start();
    await engine.start();
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
  return { connectors: running, engine, stop };
}

/** Of several workers the first sweeps; of several hosts each one's: a day is removed as well twice. */
function sweepsHere({ worker }: ProductOptions): boolean {
  return worker === undefined || worker === 1;
}

/** What connectors publish with: large payloads are stored first. */
function checkingIn(
  { writer }: Claims,
  publisher: Publisher,
): Pick<ConnectorServices, 'publisher' | 'claims'> {
  if (writer === undefined) return { publisher };
  return { publisher: claimCheckingPublisher(publisher, writer), claims: writer };
}

function checkingInSpool({ writer }: Claims, spool: Spool): Spool {
  if (writer === undefined) return spool;
  return {
    ...claimCheckingPublisher(spool, writer),
    get standing() {
      return spool.standing;
    },
    close: () => spool.close(),
  };
}

const PREPARE_BACKOFF = { initialMs: 100, maxMs: 5_000 };

/**
 * Topics and schemas. While no broker answers, connectors with a spool take input already, and the rest waits.
 * @throws ReachflowError as `Engine.prepare`; `KAFKA_UNAVAILABLE` where no connector has a spool, or once `ending` aborts.
 */
async function prepare(
  { engine, codec }: { readonly engine: EngineHost; readonly codec: TopicCodec },
  running: readonly Connector[],
  logger: Logger,
  ending: AbortSignal | undefined,
): Promise<void> {
  const spooling = running.filter(({ spools }) => spools === true);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await engine.prepare();
      // The connectors' own, where the engine's names are those of a generation.
      await codec.register(topicNames);
      return;
    } catch (error) {
      const isAway = error instanceof ReachflowError && error.code === 'KAFKA_UNAVAILABLE';
      if (!isAway || spooling.length === 0 || ending?.aborted === true) throw error;
      if (attempt === 1)
        logger.warn({ error: error.message }, 'no broker answers: only what can spool is started');
    }
    for (const connector of spooling) await connector.start();
    const options = ending === undefined ? {} : { signal: ending };
    await delay(backoffMs(attempt, PREPARE_BACKOFF), undefined, options).catch(() => undefined);
  }
}

function connectorServices(
  config: ProductConfig,
  logger: Logger,
  kafka: Pick<ConnectorServices, 'client' | 'codec' | 'publisher' | 'claims'>,
): ConnectorServices {
  const {
    registry,
    pipelines: { optional: parts },
  } = config;
  return { ...kafka, registry, parts, logger, ...connectorEnvironment(config) };
}

/** What connectors that configure something outside depend on, besides their own sections. */
export function connectorEnvironment(
  config: Pick<ProductConfig, 'kafka' | 'registry' | 'postgres'>,
): ConnectorEnvironment {
  const { brokers, namespace, partitions, replicationFactor } = config.kafka;
  return {
    databaseUrl: config.postgres.url,
    registryUrl: config.registry.url,
    brokers,
    namespace,
    partitions,
    replicationFactor,
  };
}

/**
 * Connectors, subscriptions and engine at the same time, since the stop of all has one deadline; what they share last. All of it
 * is done even when a part of it fails, and then throws what failed first.
 */
function stopOnce(
  services: readonly Service[],
  engine: EngineHost,
  closeShared: () => Promise<void>,
): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  const end = async () => {
    const stops = [...services.map((service) => service.stop()), engine.stop()];
    const results = await Promise.allSettled(stops);
    await closeShared();
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
  return () => {
    stopping ??= end();
    return stopping;
  };
}
