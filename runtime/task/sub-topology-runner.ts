import type { Logger } from 'pino';
import type { TopicName } from '../../schemas/topics.ts';
import { backoffMs } from '../backoff.ts';
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
import type { InputControl } from './input-control.ts';
import type { StreamTask } from './stream-task.ts';
import { TaskOpener, type TaskOpenerOptions } from './task-opener.ts';
import { TaskSlot } from './task-slot.ts';

export interface SubTopologyRunnerOptions extends Omit<TaskOpenerOptions, 'tables'> {
  readonly tables: ReadonlyMap<TopicName, FollowedTable<TopicName, unknown>>;
  readonly input?: InputControl | undefined;
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
/** How long to wait until it is known again that the partitions are ours, ms. */
const UNCONFIRMED_MS = 500;
/** A fetch that is older says nothing of now: fetches wait at most `kafka.fetchMaxWaitMs`, 5 s. */
const FRESH_FETCH_MS = 6_000;
/** How often what was read of repartition topics is deleted, ms. */
const PURGE_MS = 30_000;

/**
 * Runs one sub-topology: a member of its consumer group with a task per partition held. A failed task is opened anew
 * from what is committed; a step that keeps throwing stops its task only, and says so in `slots`.
 *
 * A partition that has to wait (its task is being opened, failed, or stands at a record that is to be tried again later)
 * waits paused, in all source topics, since they share its state and order: nothing waits in `onBatch`, where it would
 * hold up every partition of the same broker. It goes on from its task's position, whatever was fetched before.
 */
export class SubTopologyRunner implements PartitionHandler {
  readonly #options: SubTopologyRunnerOptions;
  readonly #logger: Logger;
  readonly #opener: TaskOpener;
  readonly #topics: readonly string[];
  readonly #slots = new Map<number, TaskSlot>();
  readonly #unlisten: (() => void)[] = [];
  readonly #assigned = Promise.withResolvers<void>();
  #consumer: PartitionConsumer | undefined;
  #timers: NodeJS.Timeout[] = [];
  /** The member is about to join its group again: nothing is begun. */
  #rebalancing = false;
  #stopped = false;

  constructor(options: SubTopologyRunnerOptions) {
    this.#options = options;
    const { pipeline, sub } = options;
    this.#logger = options.logger.child({ pipeline, subTopology: sub.name });
    this.#opener = new TaskOpener(options);
    this.#topics = inputsOf(options.pipeline, sub).map(({ topic }) => topic);
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
    const namespace = client.namespaceOf(this.name);
    const { pipeline } = this.#options;
    this.#consumer = await startPartitionConsumer(client, {
      group: this.name,
      topics: this.#topics,
      handler: this,
      minBytes: 16_384,
      maxWaitMs: client.config.fetchMaxWaitMs,
      concurrency: 8,
      warm: () => states.warm({ namespace, pipeline, subTopology: sub.name }),
      startPaused: true,
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

  /** Ends the epochs under way and leaves the group; a restore ends where it is. Call it when `start` has settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const unlisten of this.#unlisten) unlisten();
    for (const slot of this.slots) slot.abandon();
    await this.#consumer?.stop();
    await Promise.all([...this.#slots.keys()].map((partition) => this.#revoke(partition)));
  }

  /** Ends and commits what runs besides batches; what comes meanwhile is noted, and done after the rebalance. */
  async onRebalance(): Promise<void> {
    this.#rebalancing = true;
    await Promise.all(this.slots.map(({ task }) => task?.rests()));
  }

  async onAssigned(held: readonly TopicPartition[], consumer: PartitionConsumer): Promise<void> {
    this.#consumer = consumer;
    this.#rebalancing = false;
    const partitions = new Set(held.map(({ partition }) => partition));
    await Promise.all(
      [...this.#slots.keys()]
        .filter((partition) => !partitions.has(partition))
        .map((partition) => this.#revoke(partition)),
    );
    for (const partition of partitions) {
      const kept = this.#slots.get(partition);
      if (kept === undefined) this.#slots.set(partition, new TaskSlot(partition));
      else if (kept.task !== undefined) this.#seek(kept, kept.task);
    }
    void this.#openDue().then(() => this.#assigned.resolve());
  }

  async #revoke(partition: number): Promise<void> {
    const slot = this.#slots.get(partition);
    this.#slots.delete(partition);
    if (slot === undefined) return;
    slot.on('revoke');
    await slot.release();
    if (slot.life === 'draining') slot.on('drained');
  }

  /** Opens the tasks whose time has come. Resolves when each is open or has failed; never throws. */
  async #openDue(): Promise<void> {
    const now = Date.now();
    const slots = this.slots.filter((slot) => slot.isDue(now));
    if (this.#stopped || slots.length === 0) return;
    if (!this.#isConfirmed()) {
      for (const slot of slots) this.#openIn(slot, UNCONFIRMED_MS);
      return;
    }
    for (const slot of slots) slot.on('open');
    const opening = this.#opener.open(
      slots.map((slot) => ({
        partition: slot.partition,
        signal: slot.signal,
        onProgress: (progress) => {
          slot.restore = progress;
          if (progress.done < progress.total) this.#logger.info(progress, 'restoring');
        },
      })),
    );
    await Promise.all(
      slots.map((slot) => slot.does(() => this.#takeUp(slot, opening.get(slot.partition)))),
    );
  }

  /**
   * Whether it is certain that the partitions are ours, so that nobody is fenced wrongly: a member that was frozen for
   * longer than its session learns only by its next heartbeat that they went elsewhere.
   */
  #isConfirmed(): boolean {
    const status = this.#consumer?.describe();
    if (status === undefined || status.rebalancing || this.#rebalancing) return false;
    return Date.now() - status.confirmedAt < this.#options.client.config.sessionTimeoutMs;
  }

  #openIn(slot: TaskSlot, ms: number): void {
    slot.wake(ms, () => {
      slot.notBefore = 0;
      void this.#openDue();
    });
  }

  async #takeUp(slot: TaskSlot, opening: Promise<StreamTask> | undefined): Promise<void> {
    const began = Date.now();
    const { partition } = slot;
    try {
      const task = await opening;
      if (task === undefined) throw new Error(`the task of partition ${partition} is not opened`);
      if (slot.life !== 'restoring') return await task.close();
      slot.task = task;
      if (this.#options.sub.stateful)
        slot.kept = this.#options.states.keep(this.#opener.identity(partition), task);
      slot.on('restored');
      for (const { topic, key } of slot.missed.values()) this.#tellTable(slot, task, topic, key);
      slot.missed.clear();
      this.#goOn(slot);
      const restored = slot.restore?.records ?? 0;
      this.#logger.info({ partition, restored, ms: Date.now() - began }, 'task running');
    } catch (error) {
      // Revoked while it was opened.
      if (slot.life !== 'restoring') return;
      slot.fails(isFenced(error) ? 'fence' : 'error');
      this.#again(slot, error, 'task cannot be opened yet');
    }
  }

  async onBatch(fetched: PartitionBatch, control: BatchControl): Promise<void> {
    const batch = this.#withinBounds(fetched, control);
    const { partition, topic, records, nextOffset, highWatermark } = batch;
    const slot = this.#slots.get(partition);
    // To return would let the consumer go on behind the batch.
    if (slot === undefined) throw new Error(`a batch of ${topic}[${partition}], which is not held`);
    slot.ends.set(topic, highWatermark);
    const { task } = slot;
    // Fetched before it was paused: it comes again, from the position of the task that is going to be there.
    if (task === undefined) return this.#pause(slot);
    try {
      await this.#options.input?.take(
        records.length,
        () => control.stale() || control.rebalancing(),
      );
      if (control.stale() || slot.task !== task) return;
      const atEnd = nextOffset >= highWatermark;
      const isDone = await task.run({ topic, records, nextOffset, atEnd }, async () => {
        await control.heartbeat();
        if (control.stale()) throw new GroupChanged(new Error('the consumer stops'));
      });
      if (!isDone) return this.#waitFor(slot, task);
      slot.attempts = 0;
      slot.bugs = 0;
    } catch (error) {
      if (!(error instanceof GroupChanged)) return this.#failed(slot, task, error);
      if (!control.stale()) throw error;
    }
  }

  /** What a replay may process of a batch. Behind its end nothing is asked for any more. */
  #withinBounds(batch: PartitionBatch, control: BatchControl): PartitionBatch {
    const { topic, partition, records, nextOffset } = batch;
    const bound = this.#options.input?.boundOf(topic, partition);
    if (bound === undefined || nextOffset < bound) return batch;
    control.pause();
    const within = records.filter(({ offset }) => offset < bound);
    return { ...batch, records: within, nextOffset: bound, highWatermark: bound };
  }

  #pause({ partition }: TaskSlot): void {
    for (const topic of this.#topics) this.#consumer?.pause(topic, partition);
  }

  #seek({ partition }: TaskSlot, task: StreamTask): void {
    for (const topic of this.#topics) {
      const position = task.position(topic);
      if (position !== undefined) this.#consumer?.seek(topic, partition, position);
    }
  }

  /** From the task's position: batches that were passed over while it waited come again. */
  #goOn(slot: TaskSlot): void {
    const { task, partition } = slot;
    if (task === undefined) return;
    this.#seek(slot, task);
    for (const topic of this.#topics) this.#consumer?.resume(topic, partition);
  }

  /** A record is to be tried again later. */
  #waitFor(slot: TaskSlot, task: StreamTask): void {
    if (slot.task !== task) return;
    this.#pause(slot);
    slot.wake((task.waitsUntil ?? 0) - Date.now(), () => this.#goOn(slot));
  }

  /** A task failed, in a batch or besides: it is opened again from what is committed. */
  #failed(slot: TaskSlot, task: StreamTask, error: unknown): void {
    // Another one may have met the same failure, and the task may have been opened anew since.
    if (this.#stopped || slot.life !== 'running' || slot.task !== task) return;
    this.#pause(slot);
    slot.fails(isFenced(error) ? 'fence' : 'error');
    void slot.does(async () => {
      await slot.drop().catch((failure: unknown) => {
        this.#logger.warn({ error: errorMessage(failure) }, 'task not closed in good order');
      });
      this.#again(slot, error, 'task failed, opening it again from what is committed');
    });
  }

  /** Has a task opened once more, after a while; or gives up. */
  #again(slot: TaskSlot, error: unknown, message: string): void {
    if (!['backoff', 'fenced'].includes(slot.life)) return;
    const { partition } = slot;
    this.#countFailure(slot, error);
    if (this.#isEnough(slot, error)) return;
    this.#logger.warn({ partition, attempt: slot.attempts, error: errorMessage(error) }, message);
    this.#openIn(slot, slot.notBefore - Date.now());
  }

  #countFailure(slot: TaskSlot, error: unknown): void {
    const { metrics, pipeline, sub } = this.#options;
    slot.attempts += 1;
    slot.restarts += 1;
    if (!isRetriable(error)) slot.bugs += 1;
    // Fenced: perhaps the group moved the partition away. The heartbeat after a full interval tells, before this member
    // fences the rightful owner in turn.
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
    const bound = this.#options.input?.boundOf(topic, partition);
    if (bound !== undefined && nextOffset > bound) return;
    await slot?.task?.skipTo(topic, nextOffset);
  }

  #tick(): void {
    if (this.#rebalancing) return;
    for (const slot of this.#slots.values()) {
      const { task } = slot;
      if (task === undefined || slot.ticking) continue;
      slot.ticking = true;
      task
        .tick((topic) => this.#isAtEnd(task, topic))
        .catch((error: unknown) => this.#failed(slot, task, error))
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
    // A tick does it then.
    if (this.#rebalancing) return;
    task.runTableChanges().catch((error: unknown) => this.#failed(slot, task, error));
  }

  /** What was read of a repartition topic is of no more use: nobody else reads it. */
  async #purge(): Promise<void> {
    const { client, sub } = this.#options;
    for (const source of sourcesOf(sub)) {
      if (source.kind !== 'repartition') continue;
      for (const { task, partition } of this.#slots.values()) {
        const position = task?.committedPositions.get(source.topic);
        if (position === undefined || position === 0n) continue;
        await deleteRecordsBefore(client, source.topic, partition, position).catch(
          (error: unknown) =>
            this.#logger.debug({ partition, error: errorMessage(error) }, 'not purged yet'),
        );
      }
    }
  }
}
