import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { changelogOf, type TopicName } from '../../schemas/topics.ts';
import { backoffMs, waitWithHeartbeat } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { committedOffsets, topicOffsets } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import {
  type BatchControl,
  GroupChanged,
  type PartitionConsumer,
  type PartitionHandler,
  startPartitionConsumer,
  type TopicPartition,
} from '../kafka/partition-consumer.ts';
import { readTopic } from '../kafka/reader.ts';
import type { PartitionBatch } from '../kafka/record.ts';
import { TransactionalProducer } from '../kafka/transactional-producer.ts';
import type { FollowedTable } from '../state/broadcast-table.ts';
import type { ProcessorSpec } from './processor.ts';
import { groupOf, Task, type TaskCounts } from './task.ts';

export interface ProcessorRunnerOptions {
  readonly pipeline: string;
  readonly spec: ProcessorSpec<TopicName>;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly tables: ReadonlyMap<TopicName, FollowedTable<TopicName, unknown>>;
  readonly onFatal: (error: ReachflowError) => void;
}

const RETRY = { initialMs: 100, maxMs: 5_000 };
/** A process whose commits keep failing ends after this many tries (some minutes): another may do better. */
const MAX_ATTEMPTS = 60;

/**
 * Runs one processor: a member of its consumer group with a task per partition held. A failed task is opened
 * anew from what is committed; a step that throws stops its task only, and says so in `status`.
 */
export class ProcessorRunner implements PartitionHandler {
  readonly #options: ProcessorRunnerOptions;
  readonly #logger: Logger;
  readonly #tasks = new Map<number, Task<TopicName>>();
  readonly #failed = new Map<number, ReachflowError>();
  readonly #unlisten: (() => void)[] = [];
  #counts: TaskCounts = { in: 0, ok: 0, dropped: 0, deadLettered: 0, epochs: 0 };
  #consumer: PartitionConsumer | undefined;
  #opening: Promise<void> = Promise.resolve();
  #held: ReadonlySet<number> = new Set();
  #stopped = false;

  constructor(options: ProcessorRunnerOptions) {
    this.#options = options;
    this.#logger = options.logger.child({
      pipeline: options.pipeline,
      processor: options.spec.name,
    });
  }

  get name(): string {
    return groupOf(this.#options.pipeline, this.#options.spec.name);
  }

  /** The tables have to be caught up before. */
  async start(): Promise<void> {
    const { client, spec, onFatal } = this.#options;
    for (const { topic } of spec.tables) {
      const table = this.#options.tables.get(topic);
      if (table !== undefined)
        this.#unlisten.push(table.onChange((key) => this.#tableChanged(topic, key)));
    }
    this.#consumer = await startPartitionConsumer(client, {
      group: this.name,
      topics: [spec.input],
      handler: this,
      minBytes: 16_384,
      maxWaitMs: client.config.fetchMaxWaitMs,
      concurrency: 8,
      onFatal,
    });
  }

  /** Counts of all tasks that ran here, and why partitions stand still, if any do. */
  status(): {
    counts: TaskCounts;
    partitions: number[];
    failed: ReadonlyMap<number, ReachflowError>;
  } {
    const counts = { ...this.#counts };
    for (const task of this.#tasks.values()) addCounts(counts, task.counts);
    return { counts, partitions: [...this.#tasks.keys()], failed: this.#failed };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const unlisten of this.#unlisten) unlisten();
    await this.#consumer?.stop();
    await this.#opening;
    await Promise.all([...this.#tasks.keys()].map((partition) => this.#closeTask(partition)));
  }

  async onAssigned(held: readonly TopicPartition[]): Promise<void> {
    this.#held = new Set(held.map(({ partition }) => partition));
    for (const partition of [...this.#tasks.keys()]) {
      if (!this.#held.has(partition)) await this.#closeTask(partition);
    }
    await this.#ensureTasks().catch((error: unknown) => void this.#openLater(error));
  }

  /**
   * Opens the tasks of the partitions held that are not open. One call at a time: two openings of a task would
   * fence each other.
   */
  #ensureTasks(): Promise<void> {
    const opening = this.#opening.then(() =>
      this.#openTasks([...this.#held].filter((p) => !this.#tasks.has(p) && !this.#failed.has(p))),
    );
    this.#opening = opening.catch(() => undefined);
    return opening;
  }

  /** Opens, with back-off, what could not be opened: a task with no input has table changes to follow, too. */
  async #openLater(cause: unknown): Promise<void> {
    let error = cause;
    for (let attempt = 1; !this.#stopped; attempt += 1) {
      if (!isRetriable(error) || attempt > MAX_ATTEMPTS)
        return this.#options.onFatal(asFatal(error));
      this.#logger.warn({ attempt, error: errorMessage(error) }, 'tasks cannot be opened yet');
      await delay(backoffMs(attempt, RETRY));
      try {
        return await this.#ensureTasks();
      } catch (again) {
        error = again;
      }
    }
  }

  async #closeTask(partition: number): Promise<void> {
    const task = this.#tasks.get(partition);
    this.#tasks.delete(partition);
    if (task === undefined) return;
    await task.close();
    addCounts(this.#counts, task.counts);
  }

  /** Fences earlier owners, then reads what they committed: offsets first, then the state behind them. */
  async #openTasks(partitions: readonly number[]): Promise<void> {
    if (partitions.length === 0) return;
    const started = Date.now();
    const producers = await this.#openProducers(partitions);
    const opened = new Map<number, Task<TopicName>>();
    try {
      const restored = await this.#restore(producers, opened);
      this.#logger.info({ partitions, restored, ms: Date.now() - started }, 'tasks running');
    } catch (error) {
      for (const partition of opened.keys()) this.#tasks.delete(partition);
      await Promise.all([...producers.values()].map((producer) => producer.close()));
      throw error;
    }
  }

  /** All, or none. */
  async #openProducers(partitions: readonly number[]): Promise<Map<number, TransactionalProducer>> {
    const results = await Promise.allSettled(
      partitions.map((p) => TransactionalProducer.open(this.#options.client, `${this.name}.${p}`)),
    );
    const producers = new Map<number, TransactionalProducer>();
    for (const [i, result] of results.entries()) {
      const partition = partitions[i];
      if (result.status === 'fulfilled' && partition !== undefined)
        producers.set(partition, result.value);
    }
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return producers;
    await Promise.all([...producers.values()].map((producer) => producer.close()));
    throw failed.reason;
  }

  /** Returns how many changelog records were read. */
  async #restore(
    producers: ReadonlyMap<number, TransactionalProducer>,
    opened: Map<number, Task<TopicName>>,
  ): Promise<number> {
    const { pipeline, spec, client, tables } = this.#options;
    const [committed, inputs] = await Promise.all([
      committedOffsets(client, this.name, spec.input),
      topicOffsets(client, spec.input),
    ]);
    const low = new Map(inputs.map((offsets) => [offsets.partition, offsets.low]));
    for (const [partition, producer] of producers) {
      const position = committed.get(partition) ?? low.get(partition) ?? 0n;
      opened.set(partition, new Task({ ...this.#options, tables, partition, producer, position }));
    }
    let restored = 0;
    await readTopic(client, {
      topic: changelogOf(pipeline, spec.name),
      partitions: [...producers.keys()],
      onRecord: (record, partition) => {
        restored += 1;
        opened.get(partition)?.state.restore(record.key?.toString('utf8') ?? '', record.value);
      },
    });
    for (const [partition, task] of opened) {
      // Listed before it starts: a table change that comes meanwhile waits for it, and is not missed.
      this.#tasks.set(partition, task);
      await task.start();
    }
    return restored;
  }

  async onBatch(batch: PartitionBatch, control: BatchControl): Promise<void> {
    if (this.#failed.has(batch.partition)) return control.pause();
    for (let attempt = 1; !control.stale(); attempt += 1) {
      const task = this.#tasks.get(batch.partition);
      try {
        if (task !== undefined) return await task.run(batch, control.heartbeat);
        await this.#ensureTasks();
        if (!this.#tasks.has(batch.partition)) return;
      } catch (error) {
        await this.#closeTask(batch.partition);
        if (error instanceof GroupChanged) throw error;
        if (!isRetriable(error)) return this.#fail(batch, control, error);
        if (attempt >= MAX_ATTEMPTS) return this.#options.onFatal(asFatal(error));
        this.#logger.warn(
          { partition: batch.partition, attempt, error: errorMessage(error) },
          'task failed, opening it again from what is committed',
        );
        // Fenced: perhaps the group moved the partition away. The heartbeat after a full interval tells, before
        // this member fences the rightful owner in turn.
        const fenced = error instanceof ReachflowError && error.code === 'FENCED';
        await waitWithHeartbeat(fenced ? 2_500 : backoffMs(attempt, RETRY), control.heartbeat);
      }
    }
  }

  async onNothing(_topic: string, partition: number, nextOffset: bigint): Promise<void> {
    await this.#tasks.get(partition)?.skipTo(nextOffset);
  }

  #fail(batch: PartitionBatch, control: BatchControl, cause: unknown): void {
    const { partition } = batch;
    const error =
      cause instanceof ReachflowError
        ? cause
        : new ReachflowError(`task ${this.name}[${partition}] failed: ${errorMessage(cause)}`, {
            code: 'TASK_FAILED',
            domain: 'internal',
            cause,
          });
    this.#failed.set(partition, error);
    this.#logger.error({ partition, code: error.code, hint: error.hint, error }, 'task stopped');
    control.pause();
  }

  #tableChanged(topic: TopicName, key: string): void {
    for (const [partition, task] of this.#tasks) {
      task.tableChanged(topic, key);
      task.runTableChanges().catch((error: unknown) => {
        // Its state is ahead of the log now: dropped here, opened again by the next batch or rebalance.
        this.#logger.warn({ partition, error: errorMessage(error) }, 'table change did not commit');
        void this.#reopen(partition);
      });
    }
  }

  async #reopen(partition: number): Promise<void> {
    await this.#closeTask(partition);
    await this.#ensureTasks().catch((error: unknown) => this.#openLater(error));
  }
}

function isRetriable(error: unknown): boolean {
  if (!(error instanceof ReachflowError)) return false;
  return error.retry === 'backoff' || error.code === 'FENCED';
}

function asFatal(error: unknown): ReachflowError {
  if (error instanceof ReachflowError) return error;
  return new ReachflowError(errorMessage(error), {
    code: 'TASK_FAILED',
    domain: 'internal',
    cause: error,
  });
}

function addCounts(into: TaskCounts, more: TaskCounts): void {
  into.in += more.in;
  into.ok += more.ok;
  into.dropped += more.dropped;
  into.deadLettered += more.deadLettered;
  into.epochs += more.epochs;
}
