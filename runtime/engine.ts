import type { Logger } from 'pino';
import type { TopicCodec } from '../schemas/codec.ts';
import { isTopicName, type TopicName, topicNames } from '../schemas/topics.ts';
import { settledWithin } from './backoff.ts';
import type { DeliveryConfig } from './delivery/config.ts';
import type { Sink } from './delivery/sink.ts';
import { SinkRunner } from './delivery/sink-runner.ts';
import type { ReachflowError } from './errors.ts';
import type { OwnedPublisher } from './kafka/batching-publisher.ts';
import type { KafkaClient } from './kafka/client.ts';
import type { Metrics } from './observability/metrics.ts';
import type { SinkStatus, TaskStatus } from './observability/process-status.ts';
import type { Tracing } from './observability/tracing.ts';
import { FollowedTable } from './state/broadcast-table.ts';
import type { InputControl } from './task/input-control.ts';
import type { StateService } from './task/state-service.ts';
import { SubTopologyRunner } from './task/sub-topology-runner.ts';
import { applyTopicPlan, planTopics, taskCounts, usedTopics } from './topic-plan.ts';
import { sinksOf, type Topology } from './topology/graph.ts';

export interface EngineOptions {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly publisher: OwnedPublisher;
  readonly pipelines: readonly Topology[];
  readonly sinks: readonly Sink[];
  readonly delivery: DeliveryConfig;
  readonly states: StateService;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** Of a replay; its topics and schemas are only those that it uses. */
  readonly input?: InputControl | undefined;
  /** Called when a part gave up for good; the process should stop. */
  readonly onFatal: (error: ReachflowError) => void;
}

/** How long `stop` waits for a start that is under way, ms. */
const STARTING_MS = 5_000;

/** One line per part that runs. */
export interface EngineStatus {
  readonly name: string;
  readonly healthy: boolean;
  readonly detail: string;
}

/** Pipelines and sinks of one process. */
export class Engine {
  readonly #options: EngineOptions;
  readonly #tables = new Map<TopicName, FollowedTable<TopicName, unknown>>();
  readonly #runners: SubTopologyRunner[] = [];
  readonly #sinks: SinkRunner[] = [];
  #prepared: Promise<ReadonlyMap<string, number>> | undefined;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** Tasks of this process. */
  get runners(): readonly SubTopologyRunner[] {
    return this.#runners;
  }

  /**
   * Topics and schemas: what connectors need before they accept anything, and what can be wrong with a topology.
   * `start` does it when nobody has. May be tried again. @throws ReachflowError.
   */
  prepare(): Promise<ReadonlyMap<string, number>> {
    if (this.#prepared === undefined) {
      this.#prepared = this.#prepare();
      this.#prepared.catch(() => {
        this.#prepared = undefined;
      });
    }
    return this.#prepared;
  }

  async #prepare(): Promise<ReadonlyMap<string, number>> {
    const { client, codec, pipelines, sinks, input } = this.#options;
    const used = usedTopics(pipelines, sinks);
    const wanted = (name: TopicName) => input === undefined || used.has(name);
    const plans = planTopics(pipelines, sinks, client.config.partitions).filter(
      ({ name }) => !isTopicName(name) || wanted(name),
    );
    const partitions = await applyTopicPlan(client, pipelines, plans);
    await codec.register(topicNames.filter(wanted));
    return partitions;
  }

  /**
   * Tables, then pipelines and sinks. When one of them fails to start, those that were started are stopped: nothing is
   * left in a group. @throws ReachflowError.
   */
  async start(): Promise<void> {
    this.#started ??= this.#start();
    try {
      await this.#started;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { pipelines, sinks } = this.#options;
    const partitions = await this.prepare();
    await this.#startTables();
    if (this.#stopped !== undefined) return;
    for (const topology of pipelines) this.#addRunners(topology, partitions);
    for (const sink of sinks) {
      this.#sinks.push(new SinkRunner({ ...this.#options, sink, config: this.#options.delivery }));
    }
    await allStarted([...this.#runners, ...this.#sinks]);
    if (this.#stopped !== undefined) await this.#stopParts();
  }

  async #startTables(): Promise<void> {
    const { client, codec, pipelines, logger, onFatal } = this.#options;
    const nodes = pipelines.flatMap(({ subTopologies }) => subTopologies.flatMap((s) => s.nodes));
    for (const table of nodes.flatMap(({ tables }) => tables)) {
      if (this.#tables.has(table.topic)) continue;
      this.#tables.set(table.topic, new FollowedTable(client, codec, logger, table, onFatal));
    }
    await allStarted([...this.#tables.values()]);
  }

  #addRunners(topology: Topology, partitions: ReadonlyMap<string, number>): void {
    const partitionsOf = (topic: string) => partitions.get(topic) ?? 0;
    const counts = taskCounts(topology, partitionsOf);
    const channels = new Map(
      [...counts].flatMap(([sub, tasks]) =>
        sinksOf(sub).map(({ topic }) => [topic, tasks] as const),
      ),
    );
    for (const sub of topology.subTopologies) {
      const runner = new SubTopologyRunner({
        ...this.#options,
        pipeline: topology.name,
        sub,
        tables: this.#tables,
        partitionsOf,
        channelsOf: (topic) => channels.get(topic) ?? 0,
      });
      this.#runners.push(runner);
    }
  }

  /** Resolves when every group has given this process its partitions and their tasks run. */
  async whenRunning(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.whenAssigned()));
  }

  /** For observers. */
  tasks(): TaskStatus[] {
    return this.#runners.flatMap((runner) => runner.status());
  }

  /** For observers. */
  sinks(): SinkStatus[] {
    return this.#sinks.map((runner) => runner.status());
  }

  status(): EngineStatus[] {
    const tasks = this.#runners.map((runner) => {
      const failures = runner.slots.flatMap(({ partition, failure }) =>
        failure === undefined ? [] : [`partition ${partition}: ${failure.message}`],
      );
      const { slots } = runner;
      const sum = (of: 'recordsIn' | 'deadLettered') =>
        slots.reduce((total, { task }) => total + (task?.counters[of] ?? 0), 0);
      const detail = `${slots.length} tasks, ${sum('recordsIn')} in, ${sum('deadLettered')} dead-lettered`;
      return {
        name: runner.name,
        healthy: failures.length === 0,
        detail: failures.length === 0 ? detail : failures.join('; '),
      };
    });
    const sinks = this.#sinks.map((runner) => {
      const { delivered, deadLettered, sickSince } = runner.counts;
      const since =
        sickSince === 0 ? '' : `, store away since ${new Date(sickSince).toISOString()}`;
      const detail = `${delivered} delivered, ${deadLettered} dead-lettered${since}`;
      return { name: runner.name, healthy: sickSince === 0, detail };
    });
    return [...tasks, ...sinks];
  }

  /**
   * Pipelines first, so that sinks still write what those committed; bounded by the batches under way. What is being
   * started is stopped once its start has settled: before, it may have a consumer that nobody knows of yet. Idempotent.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    // A start that takes longer ends itself when it sees that it was stopped.
    await settledWithin(STARTING_MS, this.#started === undefined ? [] : [this.#started]);
    await this.#stopParts();
  }

  async #stopParts(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.stop()));
    await Promise.all(this.#sinks.map((runner) => runner.stop()));
    await Promise.all([...this.#tables.values()].map((table) => table.stop()));
    await this.#options.states.stop();
  }
}

/** Starts all, and waits for each, whatever fails. @throws what the first of them threw. */
async function allStarted(parts: readonly { start(): Promise<void> }[]): Promise<void> {
  const results = await Promise.allSettled(parts.map((part) => part.start()));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
