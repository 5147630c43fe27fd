import type { Logger } from 'pino';
import type { TopicCodec } from '../schemas/codec.ts';
import { type TopicName, topicNames } from '../schemas/topics.ts';
import type { DeliveryConfig } from './delivery/config.ts';
import type { Sink } from './delivery/sink.ts';
import { SinkRunner } from './delivery/sink-runner.ts';
import type { ReachflowError } from './errors.ts';
import type { OwnedPublisher } from './kafka/batching-publisher.ts';
import type { KafkaClient } from './kafka/client.ts';
import { FollowedTable } from './state/broadcast-table.ts';
import type { PipelineSpec } from './task/processor.ts';
import { ProcessorRunner } from './task/processor-runner.ts';
import { applyTopicPlan, planTopics } from './topic-plan.ts';

export interface EngineOptions {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly publisher: OwnedPublisher;
  readonly pipelines: readonly PipelineSpec[];
  readonly sinks: readonly Sink[];
  readonly delivery: DeliveryConfig;
  readonly logger: Logger;
  /** Called when a part gave up for good; the process should stop. */
  readonly onFatal: (error: ReachflowError) => void;
}

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
  readonly #processors: ProcessorRunner[] = [];
  readonly #sinks: SinkRunner[] = [];

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** Topics, schemas, tables, then processors and sinks. @throws ReachflowError; call `stop` then, too. */
  async start(): Promise<void> {
    const { client, codec, pipelines, sinks, logger } = this.#options;
    await applyTopicPlan(client, pipelines, planTopics(pipelines, sinks, client.config.partitions));
    await codec.register(topicNames);
    const specs = pipelines.flatMap(({ name, processors }) =>
      processors.map((spec) => ({ pipeline: name, spec })),
    );
    for (const { spec } of specs) {
      for (const table of spec.tables) {
        if (this.#tables.has(table.topic)) continue;
        this.#tables.set(
          table.topic,
          new FollowedTable(client, codec, logger, table, this.#options.onFatal),
        );
      }
    }
    await Promise.all([...this.#tables.values()].map((table) => table.start()));
    for (const spec of specs) {
      this.#processors.push(
        new ProcessorRunner({ ...this.#options, ...spec, tables: this.#tables }),
      );
    }
    for (const sink of sinks) {
      this.#sinks.push(new SinkRunner({ ...this.#options, sink, config: this.#options.delivery }));
    }
    await Promise.all([...this.#processors, ...this.#sinks].map((part) => part.start()));
  }

  status(): EngineStatus[] {
    const processors = this.#processors.map((runner) => {
      const { counts, partitions, failed } = runner.status();
      const stopped = [...failed].map(
        ([partition, error]) => `partition ${partition}: ${error.message}`,
      );
      const detail = `${partitions.length} tasks, ${counts.in} in, ${counts.deadLettered} dead-lettered`;
      return {
        name: runner.name,
        healthy: failed.size === 0,
        detail: stopped.length === 0 ? detail : stopped.join('; '),
      };
    });
    const sinks = this.#sinks.map((runner) => {
      const { delivered, deadLettered, sickSince } = runner.counts;
      const since =
        sickSince === 0 ? '' : `, store away since ${new Date(sickSince).toISOString()}`;
      const detail = `${delivered} delivered, ${deadLettered} dead-lettered${since}`;
      return { name: runner.name, healthy: sickSince === 0, detail };
    });
    return [...processors, ...sinks];
  }

  /** Processors first, so that sinks still write what those committed; bounded by the batches under way. */
  async stop(): Promise<void> {
    await Promise.all(this.#processors.map((runner) => runner.stop()));
    await Promise.all(this.#sinks.map((runner) => runner.stop()));
    await Promise.all([...this.#tables.values()].map((table) => table.stop()));
  }
}
