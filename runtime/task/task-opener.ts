import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { changelogOf, type TopicName } from '../../schemas/topics.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { committedOffsets, deleteRecordsBefore } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { EpochProducer } from '../kafka/epoch-producer.ts';
import { manyPartitionOffsets, type PartitionOffsets } from '../kafka/partition-offsets.ts';
import { readPartition } from '../kafka/partition-reader.ts';
import { taskLogger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Tracing } from '../observability/tracing.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import type { StateIdentity } from '../state/contract.ts';
import { MemoryBackend } from '../state/memory-backend.ts';
import { storesOf, TaskState } from '../state/task-state.ts';
import { groupOf, inputsOf, type SubTopology, sinksOf, sourcesOf } from '../topology/graph.ts';
import { isOfLog } from './lineage.ts';
import type { StateService } from './state-service.ts';
import { StreamTask } from './stream-task.ts';

export interface TaskOpenerOptions {
  readonly pipeline: string;
  readonly sub: SubTopology;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly states: StateService;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** Tasks that write a repartition topic. */
  readonly channelsOf: (topic: string) => number;
  /** Partitions of each source topic: a task has no part of a topic with fewer partitions. */
  readonly partitionsOf: (topic: string) => number;
}

/** How far a restore has come, for people and metrics. */
export interface RestoreProgress {
  readonly partition: number;
  readonly records: number;
  readonly bytes: number;
  /** Offsets of the changelog's tail that were read, and there are. */
  readonly done: number;
  readonly total: number;
}

/** How far a source topic was processed, and whether that was all of it. */
interface SourcePosition {
  readonly topic: string;
  readonly position: bigint;
  readonly atEnd: boolean;
}

export interface OpenedTasks {
  readonly tasks: ReadonlyMap<number, StreamTask>;
  /** Why the others could not be opened, by partition. */
  readonly failures: ReadonlyMap<number, unknown>;
}

/** How often a restore says how far it is, ms. */
const PROGRESS_MS = 2_000;

/**
 * Opens tasks: fences earlier owners, and only then reads what they committed, positions first, then the state behind
 * them: the local store or a checkpoint, and the changelog's tail.
 */
export class TaskOpener {
  readonly #options: TaskOpenerOptions;
  readonly #changelog: string;
  readonly #group: string;

  constructor(options: TaskOpenerOptions) {
    this.#options = options;
    this.#changelog = changelogOf(options.pipeline, options.sub.name);
    this.#group = groupOf(options.pipeline, options.sub.name);
  }

  /**
   * A task that cannot be opened fails alone. @throws ReachflowError for what concerns all of them: then none is open.
   * @param onProgress called now and then while state is restored.
   */
  async open(
    partitions: readonly number[],
    onProgress: (progress: RestoreProgress) => void,
  ): Promise<OpenedTasks> {
    const opened = await settled(partitions.map((partition) => this.#fence(partition)));
    try {
      if (opened.error !== undefined) throw opened.error;
      const positions = await this.#positions(partitions);
      const log = await this.#logOffsets(partitions);
      const tasks = new Map<number, StreamTask>();
      const failures = new Map<number, unknown>();
      await Promise.all(
        opened.values.map(async (producer, i) => {
          const partition = partitions[i] ?? 0;
          const sources = positions.get(partition) ?? [];
          try {
            const own = log.get(partition);
            tasks.set(partition, await this.#task(partition, producer, sources, own, onProgress));
          } catch (error) {
            await producer.close();
            failures.set(partition, error);
          }
        }),
      );
      return { tasks, failures };
    } catch (error) {
      await Promise.all(opened.values.map((producer) => producer.close()));
      throw error;
    }
  }

  async #fence(partition: number): Promise<EpochProducer> {
    const { client, sub, pipeline } = this.#options;
    const producer = await EpochProducer.open(client, `${this.#group}.${partition}`);
    try {
      await producer.prepare([
        ...sinksOf(sub).map(({ topic }) => topic),
        ...(sub.stateful ? [changelogOf(pipeline, sub.name)] : []),
      ]);
      return producer;
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  /** By partition and source topic: what is committed, or else where the topic begins. */
  async #positions(partitions: readonly number[]): Promise<Map<number, SourcePosition[]>> {
    const { client, sub, pipeline, partitionsOf } = this.#options;
    const result = new Map(partitions.map((partition) => [partition, [] as SourcePosition[]]));
    await Promise.all(
      inputsOf(pipeline, sub).map(async ({ topic }) => {
        const own = partitions.filter((partition) => partition < partitionsOf(topic));
        const [committed, offsets] = await Promise.all([
          committedOffsets(client, this.#group, topic),
          manyPartitionOffsets(
            client,
            own.map((partition) => ({ topic, partition })),
          ),
        ]);
        for (const [i, partition] of own.entries()) {
          const { low = 0n, high = 0n } = offsets[i] ?? {};
          const position = committed.get(partition) ?? low;
          result.get(partition)?.push({ topic, position, atEnd: position >= high });
        }
      }),
    );
    return result;
  }

  async #logOffsets(partitions: readonly number[]): Promise<Map<number, PartitionOffsets>> {
    const { client, sub } = this.#options;
    if (!sub.stateful) return new Map();
    const offsets = await manyPartitionOffsets(
      client,
      partitions.map((partition) => ({ topic: this.#changelog, partition })),
    );
    return new Map(
      offsets.flatMap((one, i) => {
        const partition = partitions[i];
        return partition === undefined ? [] : [[partition, one] as const];
      }),
    );
  }

  identity(partition: number): StateIdentity {
    const { client, pipeline, sub } = this.#options;
    return { namespace: client.config.namespace, pipeline, subTopology: sub.name, partition };
  }

  async #task(
    partition: number,
    producer: EpochProducer,
    sources: readonly SourcePosition[],
    log: PartitionOffsets | undefined,
    onProgress: (progress: RestoreProgress) => void,
  ): Promise<StreamTask> {
    const { states, sub, client, pipeline } = this.#options;
    let opened: StreamTask | undefined;
    const logger = taskLogger(
      this.#options.logger,
      { pipeline, subTopology: sub.name, partition },
      () => (opened === undefined ? {} : { epoch: opened.counters.epochs + 1 }),
    );
    const specs = [...new Set(sub.nodes.flatMap(({ stores }) => stores))];
    const state =
      log === undefined
        ? new TaskState(
            specs,
            new MemoryBackend({ identity: this.identity(partition), stores: storesOf(specs) }),
          )
        : await states.open(this.identity(partition), specs, log);
    try {
      if (log !== undefined) await this.#restore(partition, state, log, logger, onProgress);
    } catch (error) {
      await state.close();
      throw error;
    }
    const task = new StreamTask({
      ...this.#options,
      logger,
      partition,
      producer,
      state,
      positions: new Map(sources.map(({ topic, position }) => [topic, position])),
      maxEpochRecords: client.config.maxEpochRecords,
      now: Date.now,
      metrics: this.#options.metrics?.task(this.#options.pipeline, sub.name),
      onBoundary: (offset) => {
        deleteRecordsBefore(client, this.#changelog, partition, offset).catch((error: unknown) => {
          logger.warn({ error: errorMessage(error) }, 'changelog not shortened yet');
        });
      },
    });
    opened = task;
    try {
      await task.start();
      for (const { topic, atEnd } of sources) if (atEnd) task.atEnd(topic);
      await this.#readTables(task);
      return task;
    } catch (error) {
      await task.close();
      throw error;
    }
  }

  async #restore(
    partition: number,
    state: TaskState,
    log: PartitionOffsets,
    logger: Logger,
    onProgress: (progress: RestoreProgress) => void,
  ): Promise<void> {
    const changelog = { topic: this.#changelog, partition };
    const { client } = this.#options;
    if (state.position !== undefined && !(await isOfLog(state, client, changelog, log))) {
      logger.warn('local state is not of this changelog, it is restored');
      state.clear();
    }
    const hadState = state.position !== undefined;
    try {
      await this.#readTail(partition, state, log, onProgress);
    } catch (error) {
      if (!hadState || !(error instanceof ReachflowError) || error.code !== 'CHANGELOG_CORRUPT') {
        throw error;
      }
      logger.warn({ error: error.message }, 'the changelog does not continue the local state');
      state.clear();
      await this.#readTail(partition, state, log, onProgress);
    }
  }

  async #readTail(
    partition: number,
    state: TaskState,
    { low, lastStable }: PartitionOffsets,
    onProgress: (progress: RestoreProgress) => void,
  ): Promise<void> {
    const { client } = this.#options;
    const changelog = { topic: this.#changelog, partition };
    const from = state.startRestore(low, lastStable);
    const total = Number(lastStable - from);
    const metrics = this.#options.metrics?.task(this.#options.pipeline, this.#options.sub.name);
    let records = 0;
    let bytes = 0;
    let said = Date.now();
    await readPartition(client, {
      ...changelog,
      from,
      to: lastStable,
      onRecords: (segments, nextOffset) => {
        metrics?.restored(segments.length);
        for (const { value, offset } of segments) {
          if (value === null) continue;
          records += 1;
          bytes += value.length;
          state.restore(value, offset + 1n);
        }
        if (Date.now() - said < PROGRESS_MS) return;
        said = Date.now();
        onProgress({ partition, records, bytes, done: Number(nextOffset - from), total });
      },
    });
    state.endRestore();
    onProgress({ partition, records, bytes, done: total, total });
  }

  /** Rows come before what is joined to them: tables are read to their present end before streams begin. */
  async #readTables(task: StreamTask): Promise<void> {
    for (const source of sourcesOf(this.#options.sub)) {
      const from = task.position(source.topic);
      if (source.kind !== 'topic' || !source.bootstrap || from === undefined) continue;
      const { topic } = source;
      await readPartition(this.#options.client, {
        topic,
        partition: task.partition,
        from,
        onRecords: (records, nextOffset) =>
          task.run({ topic, records, nextOffset, atEnd: true }, async () => undefined),
      });
    }
  }
}

/** Waits for all, whatever fails. The values are of those that did not, in order. */
async function settled<T>(
  work: readonly Promise<T>[],
): Promise<{ readonly values: T[]; readonly error: unknown }> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  const values = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  return { values, error: failed?.reason };
}
