import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { TopicName } from '../../schemas/topics.ts';
import { backoffMs, waitWithHeartbeat } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { deleteRecordsBefore } from '../kafka/admin.ts';
import { lastFetched } from '../kafka/fetch-progress.ts';
import {
  type BatchControl,
  GroupChanged,
  type PartitionConsumer,
  type PartitionHandler,
  startPartitionConsumer,
  type TopicPartition,
} from '../kafka/partition-consumer.ts';
import type { PartitionBatch } from '../kafka/record.ts';
import type { TaskStatus } from '../observability/process-status.ts';
import { taskStatusOf } from '../observability/task-status.ts';
import type { FollowedTable } from '../state/broadcast-table.ts';
import { groupOf, inputsOf, sourcesOf } from '../topology/graph.ts';
import { asFatal, isFenced, isRetriable } from './failures.ts';
import type { StreamTask } from './stream-task.ts';
import { TaskOpener, type TaskOpenerOptions } from './task-opener.ts';
import { TaskSlot } from './task-slot.ts';

export interface SubTopologyRunnerOptions extends Omit<TaskOpenerOptions, 'tables'> {
  readonly tables: ReadonlyMap<TopicName, FollowedTable<TopicName, unknown>>;
  /** Called when this part gave up for good; the process should stop. */
  readonly onFatal: (error: ReachflowError) => void;
}

const RETRY = { initialMs: 100, maxMs: 5_000 };
/** A process whose commits keep failing ends after this many tries (some minutes): another may do better. */
const MAX_ATTEMPTS = 60;
/** A step that threw is tried again this often: then it is a bug, and its task stands still. */
const MAX_STEP_ATTEMPTS = 3;
const TICK_MS = 250;
/** How long to look at the group before fencing whoever fenced us: longer than a heartbeat's interval. */
const FENCED_MS = 2_500;
/** A fetch that is older says nothing of now: fetches wait at most `kafka.fetchMaxWaitMs`, 5 s. */
const FRESH_FETCH_MS = 6_000;
/** How often what was read of repartition topics is deleted, ms. */
const PURGE_MS = 30_000;

/**
 * Runs one sub-topology: a member of its consumer group with a task per partition held. A failed task is opened anew
 * from what is committed; a step that keeps throwing stops its task only, and says so in `slots`.
 */
export class SubTopologyRunner implements PartitionHandler {
  readonly #options: SubTopologyRunnerOptions;
  readonly #logger: Logger;
  readonly #opener: TaskOpener;
  readonly #slots = new Map<number, TaskSlot>();
  readonly #unlisten: (() => void)[] = [];
  readonly #assigned = Promise.withResolvers<void>();
  #consumer: PartitionConsumer | undefined;
  #opening: Promise<void> = Promise.resolve();
  #timers: NodeJS.Timeout[] = [];
  #stopped = false;

  constructor(options: SubTopologyRunnerOptions) {
    this.#options = options;
    const { pipeline, sub } = options;
    this.#logger = options.logger.child({ pipeline, subTopology: sub.name });
    this.#opener = new TaskOpener(options);
  }

  get name(): string {
    return groupOf(this.#options.pipeline, this.#options.sub.name);
  }

  /** What its tasks say of themselves. */
  status(): TaskStatus[] {
    const { pipeline, sub } = this.#options;
    return this.slots.map((slot) => taskStatusOf(pipeline, sub.name, slot));
  }

  /** Tasks of this worker, by partition. */
  get slots(): readonly TaskSlot[] {
    return [...this.#slots.values()];
  }

  /** The tables have to be caught up before. */
  async start(): Promise<void> {
    const { client, sub, states, onFatal } = this.#options;
    for (const topic of new Set(sub.nodes.flatMap(({ tables }) => tables.map((t) => t.topic)))) {
      const table = this.#options.tables.get(topic);
      if (table !== undefined)
        this.#unlisten.push(table.onChange((key) => this.#tableChanged(topic, key)));
    }
    const { namespace } = client.config;
    const { pipeline } = this.#options;
    this.#consumer = await startPartitionConsumer(client, {
      group: this.name,
      topics: inputsOf(pipeline, sub).map(({ topic }) => topic),
      handler: this,
      minBytes: 16_384,
      maxWaitMs: client.config.fetchMaxWaitMs,
      concurrency: 8,
      warm: () => states.warm({ namespace, pipeline, subTopology: sub.name }),
      onFatal,
    });
    this.#timers = [
      setInterval(() => this.#tick(), TICK_MS),
      setInterval(() => void this.#purge(), PURGE_MS),
    ];
  }

  /** Resolves when the group has given this member its first partitions and their tasks were opened. */
  whenAssigned(): Promise<void> {
    return this.#assigned.promise;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const unlisten of this.#unlisten) unlisten();
    await this.#consumer?.stop();
    await this.#opening;
    await Promise.all([...this.#slots.keys()].map((partition) => this.#revoke(partition)));
  }

  async onAssigned(held: readonly TopicPartition[]): Promise<void> {
    const partitions = new Set(held.map(({ partition }) => partition));
    await Promise.all(
      [...this.#slots.keys()]
        .filter((partition) => !partitions.has(partition))
        .map((partition) => this.#revoke(partition)),
    );
    for (const partition of partitions) {
      if (!this.#slots.has(partition)) this.#slots.set(partition, new TaskSlot(partition));
    }
    await this.#openAll().catch((error: unknown) => void this.#openLater(error));
    this.#assigned.resolve();
  }

  async #revoke(partition: number): Promise<void> {
    const slot = this.#slots.get(partition);
    this.#slots.delete(partition);
    if (slot === undefined) return;
    slot.on('revoke');
    await slot.release();
    if (slot.life === 'draining') slot.on('drained');
  }

  /** Opens the tasks that are not open, one call after the other. */
  #openAll(): Promise<void> {
    const opening = this.#opening.then(() => this.#openMissing());
    this.#opening = opening.catch(() => undefined);
    return opening;
  }

  async #openMissing(): Promise<void> {
    if (this.#stopped) return;
    const now = Date.now();
    const slots = this.slots.filter(
      ({ life, notBefore }) => now >= notBefore && ['created', 'backoff', 'fenced'].includes(life),
    );
    if (slots.length === 0) return;
    const began = Date.now();
    const partitions = slots.map(({ partition }) => partition);
    for (const slot of slots) slot.on('open');
    try {
      const { tasks, failures } = await this.#opener.open(partitions, (progress) => {
        const slot = this.#slots.get(progress.partition);
        if (slot !== undefined) slot.restore = progress;
        if (progress.done < progress.total) this.#logger.info(progress, 'restoring');
      });
      await this.#takeUp(slots, tasks);
      for (const slot of slots) this.#couldNotOpen(slot, failures.get(slot.partition));
    } catch (error) {
      for (const slot of slots) if (slot.life === 'restoring') slot.on('error');
      throw error;
    }
    const restored = slots.reduce((sum, { restore }) => sum + (restore?.records ?? 0), 0);
    this.#logger.info({ partitions, restored, ms: Date.now() - began }, 'tasks running');
  }

  /** One that cannot be opened does not hold the others up: it is tried again by itself. */
  #couldNotOpen(slot: TaskSlot, error: unknown): void {
    if (error === undefined || slot.life !== 'restoring') return;
    const { partition } = slot;
    slot.on('error');
    this.#countFailure(slot, error);
    this.#logger.warn(
      { partition, attempt: slot.attempts, error: errorMessage(error) },
      'task cannot be opened yet',
    );
    if (this.#isEnough(slot, error)) return;
    void delay(slot.notBefore - Date.now())
      .then(() => this.#openAll())
      .catch((again: unknown) => this.#openLater(again));
  }

  async #takeUp(
    slots: readonly TaskSlot[],
    tasks: ReadonlyMap<number, NonNullable<TaskSlot['task']>>,
  ): Promise<void> {
    for (const slot of slots) {
      const task = tasks.get(slot.partition);
      slot.task = task;
      if (task === undefined) continue;
      if (this.#options.sub.stateful)
        slot.kept = this.#options.states.keep(this.#opener.identity(slot.partition), task);
      if (slot.life === 'restoring') {
        slot.on('restored');
        for (const { topic, key } of slot.missed.values()) this.#tellTable(slot, task, topic, key);
        slot.missed.clear();
        continue;
      }
      // Revoked while it was opened.
      await slot.release();
      if (slot.life === 'draining') slot.on('drained');
    }
  }

  async #openLater(cause: unknown): Promise<void> {
    let error = cause;
    for (let attempt = 1; !this.#stopped; attempt += 1) {
      if (!isRetriable(error) || attempt > MAX_ATTEMPTS)
        return this.#options.onFatal(asFatal(error));
      this.#logger.warn({ attempt, error: errorMessage(error) }, 'tasks cannot be opened yet');
      await delay(backoffMs(attempt, RETRY));
      try {
        return await this.#openAll();
      } catch (again) {
        error = again;
      }
    }
  }

  async onBatch(batch: PartitionBatch, control: BatchControl): Promise<void> {
    const { partition, topic, nextOffset, highWatermark } = batch;
    const atEnd = nextOffset >= highWatermark;
    while (!control.stale()) {
      const slot = this.#slots.get(partition);
      // To return would let the consumer go on behind the batch.
      if (slot === undefined)
        throw new Error(`a batch of ${topic}[${partition}], which is not held`);
      if (slot.life === 'failed') {
        control.pause();
        return;
      }
      slot.ends.set(topic, highWatermark);
      try {
        if (slot.task === undefined) await this.#openAll();
        if (slot.task === undefined) {
          await waitWithHeartbeat(RETRY.initialMs, control.heartbeat);
          continue;
        }
        await slot.task.run({ topic, records: batch.records, nextOffset, atEnd }, async () => {
          await control.heartbeat();
          if (control.stale()) throw new GroupChanged(new Error('the consumer stops'));
        });
        slot.attempts = 0;
        slot.bugs = 0;
        return;
      } catch (error) {
        if (error instanceof GroupChanged) {
          if (control.stale()) return;
          throw error;
        }
        if (!(await this.#recover(slot, error, control))) return;
      }
    }
  }

  /** After a failure of a task: waits before the next attempt. False when there is to be none. */
  async #recover(slot: TaskSlot, error: unknown, control: BatchControl): Promise<boolean> {
    const { partition } = slot;
    const epoch = slot.task?.counters.epochs;
    this.#countFailure(slot, error);
    // Fenced: perhaps the group moved the partition away. The heartbeat after a full interval tells, before
    // this member fences the rightful owner in turn.
    await this.#drop(slot, isFenced(error) ? 'fence' : 'error');
    if (this.#isEnough(slot, error)) {
      control.pause();
      return false;
    }
    this.#logger.warn(
      { partition, epoch, attempt: slot.attempts, error: errorMessage(error) },
      'task failed, opening it again from what is committed',
    );
    await waitWithHeartbeat(slot.notBefore - Date.now(), control.heartbeat);
    return true;
  }

  #countFailure(slot: TaskSlot, error: unknown): void {
    const { metrics, pipeline, sub } = this.#options;
    slot.attempts += 1;
    slot.restarts += 1;
    if (!isRetriable(error)) slot.bugs += 1;
    slot.notBefore = Date.now() + (isFenced(error) ? FENCED_MS : backoffMs(slot.attempts, RETRY));
    metrics?.task(pipeline, sub.name).restarted();
  }

  /** Whether it failed too often: then the task stands still, or for what concerns all tasks the process ends. */
  #isEnough(slot: TaskSlot, error: unknown): boolean {
    const retriable = isRetriable(error);
    if (retriable ? slot.attempts < MAX_ATTEMPTS : slot.bugs < MAX_STEP_ATTEMPTS) return false;
    if (retriable) this.#options.onFatal(asFatal(error));
    else this.#fail(slot, error);
    return true;
  }

  async #drop(slot: TaskSlot, event: 'error' | 'fence'): Promise<void> {
    if (slot.life === 'running') slot.on(event);
    await slot.release();
  }

  #fail(slot: TaskSlot, cause: unknown): void {
    const { partition } = slot;
    const error =
      cause instanceof ReachflowError
        ? cause
        : new ReachflowError(`task ${this.name}[${partition}] failed: ${errorMessage(cause)}`, {
            code: 'TASK_FAILED',
            domain: 'internal',
            cause,
          });
    slot.failure = error;
    slot.on('giveUp');
    this.#logger.error({ partition, code: error.code, hint: error.hint, error }, 'task stopped');
  }

  async onNothing(topic: string, partition: number, nextOffset: bigint): Promise<void> {
    const slot = this.#slots.get(partition);
    slot?.ends.set(topic, nextOffset);
    await slot?.task?.skipTo(topic, nextOffset);
  }

  #tick(): void {
    for (const slot of this.#slots.values()) {
      const { task } = slot;
      if (task === undefined || slot.ticking) continue;
      slot.ticking = true;
      task
        .tick((topic) => this.#isAtEnd(task, topic))
        .catch((error: unknown) => this.#brokenAside(slot, task, error))
        .finally(() => {
          slot.ticking = false;
        });
    }
  }

  /** Whether a fetch of just now found nothing behind what the task has processed. */
  #isAtEnd(task: StreamTask, topic: string): boolean {
    const fetched = lastFetched(this.#options.client.physical(topic), task.partition);
    const position = task.position(topic);
    if (fetched === undefined || position === undefined) return false;
    return position >= fetched.highWatermark && Date.now() - fetched.at < FRESH_FETCH_MS;
  }

  #tableChanged(topic: TopicName, key: string): void {
    for (const slot of this.#slots.values()) {
      const { task } = slot;
      if (task !== undefined) this.#tellTable(slot, task, topic, key);
      else if (slot.life === 'restoring') slot.missed.set(`${topic}/${key}`, { topic, key });
    }
  }

  #tellTable(slot: TaskSlot, task: StreamTask, topic: TopicName, key: string): void {
    task.tableChanged(topic, key);
    task.runTableChanges().catch((error: unknown) => this.#brokenAside(slot, task, error));
  }

  /** A task broke between two batches: opened again here, or by the next batch. */
  #brokenAside(slot: TaskSlot, task: StreamTask, error: unknown): void {
    // Another one may have met the same failure, and have opened the task anew since.
    if (this.#stopped || slot.life !== 'running' || slot.task !== task) return;
    const { partition } = slot;
    this.#logger.warn({ partition, error: errorMessage(error) }, 'task failed between batches');
    this.#countFailure(slot, error);
    void this.#reopen(slot, error).catch((again: unknown) => this.#openLater(again));
  }

  async #reopen(slot: TaskSlot, error: unknown): Promise<void> {
    await this.#drop(slot, isFenced(error) ? 'fence' : 'error');
    if (this.#isEnough(slot, error)) return;
    await delay(slot.notBefore - Date.now());
    await this.#openAll();
  }

  /** What was read of a repartition topic is of no more use: nobody else reads it. */
  async #purge(): Promise<void> {
    const { client, sub } = this.#options;
    for (const source of sourcesOf(sub)) {
      if (source.kind !== 'repartition') continue;
      for (const { task, partition } of this.#slots.values()) {
        const position = task?.committedPosition(source.topic);
        if (position === undefined || position === 0n) continue;
        await deleteRecordsBefore(client, source.topic, partition, position).catch(
          (error: unknown) =>
            this.#logger.debug({ partition, error: errorMessage(error) }, 'not purged yet'),
        );
      }
    }
  }
}
