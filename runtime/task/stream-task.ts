import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { TopicName } from '../../schemas/topics.ts';
import { settledWithin } from '../backoff.ts';
import { errorMessage } from '../errors.ts';
import type { TaskMetrics } from '../observability/task-metrics.ts';
import type { Tracing } from '../observability/tracing.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import type { TaskState } from '../state/task-state.ts';
import { groupOf, inputsOf, type SubTopology } from '../topology/graph.ts';
import { BatchPayloads } from './batch-payloads.ts';
import { TaskCore } from './core.ts';
import { newTaskCounters, type TaskCounters } from './counters.ts';
import { EpochObserver } from './epoch-observer.ts';
import { Epochs } from './epochs.ts';
import type { TaskProducer } from './ports.ts';
import { type Batch, indexOfSource, Oversized, RetryLater } from './stops.ts';
import { Turns } from './turns.ts';
import { Waits } from './waits.ts';

/** What a task is made of. */
export interface StreamTaskOptions {
  readonly pipeline: string;
  readonly sub: SubTopology;
  readonly partition: number;
  readonly codec: TopicCodec;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly producer: TaskProducer;
  /** Restored. */
  readonly state: TaskState;
  /** Committed next offset of each source topic, read after the producer was opened. */
  readonly positions: ReadonlyMap<string, bigint>;
  readonly channelsOf: (topic: string) => number;
  /** Input records of an epoch, at most. */
  readonly maxEpochRecords: number;
  readonly now: () => number;
  readonly logger: Logger;
  /** Everything before this offset of the changelog has become redundant. `close` waits for it. */
  readonly onBoundary?: (offset: bigint) => void | Promise<void>;
  /** Closed with the task. */
  readonly metrics?: TaskMetrics | undefined;
  readonly tracing?: Tracing | undefined;
}

/** An epoch is committed early once its outputs have this many bytes. */
const MAX_EPOCH_BYTES = 4_194_304;
/** How many records are processed before the epoch's bytes are looked at. */
const BYTES_CHECK = 256;
const CHANGED_KEYS_PER_EPOCH = 500;
/** Epochs of timers, of 10,000 each, before a record: as many do not come without a step that never ends. */
const MAX_CATCH_UPS = 10_000;
/** How long `close` waits for deletions, ms: a broker that is away must not hold it up. */
const DELETION_MS = 2_000;

/**
 * A sub-topology on one partition: the single writer of its state. Outputs, changelog and input positions commit in one
 * Kafka transaction per epoch; only then does the state's backend get the epoch's changes. After a failed commit the
 * task is of no further use: its outcome is unknown, so the runner opens a new one from what is committed.
 */
export class StreamTask {
  readonly counters: TaskCounters = newTaskCounters();
  readonly #options: StreamTaskOptions;
  readonly #epochs: Epochs;
  readonly #observer: EpochObserver;
  readonly #changedKeys = new Map<string, { readonly topic: TopicName; readonly key: string }>();
  readonly #ends = new Map<string, boolean>();
  #core: TaskCore;
  #epochRecords = 0;
  #epochBegan = 0;
  readonly #waits: Waits;
  /** Of the batch under way. */
  #payloads: BatchPayloads | undefined;
  /** Deletions of the changelog's beginning, under way. */
  readonly #deletions = new Set<Promise<void>>();
  /** Epochs run one after the other; behind a failed one none runs on its state. */
  readonly #turns = new Turns((error) => this.#observer.failed(error));

  constructor(options: StreamTaskOptions) {
    this.#options = options;
    this.#waits = new Waits(options);
    const { pipeline, sub, partition, metrics, tracing } = options;
    this.#epochs = new Epochs({ ...options, onBoundary: (offset) => this.#atBoundary(offset) });
    const name = groupOf(pipeline, sub.name);
    this.#observer = new EpochObserver(name, partition, metrics, tracing);
    this.#core = this.#newCore();
    options.metrics?.attach(this.counters);
  }

  get partition(): number {
    return this.#options.partition;
  }

  /** Next input offset to process. */
  position(topic: string): bigint | undefined {
    return this.#epochs.position(topic);
  }

  /** Next offset of each source topic, as committed. */
  get committedPositions(): ReadonlyMap<string, bigint> {
    return this.#epochs.committed;
  }

  /**
   * While a record waits to be tried again, until when, ms since the epoch: `run` and `tick` do nothing before, since
   * nothing may overtake it. Undefined when none waits.
   */
  get waitsUntil(): number | undefined {
    return this.#waits.recordUntil;
  }

  /** Event time reached, ms; -Infinity before the first record. */
  get watermark(): number {
    return this.#core.watermark;
  }

  get state(): TaskState {
    return this.#options.state;
  }

  #newCore(): TaskCore {
    const options = this.#options;
    return new TaskCore({
      pipeline: options.pipeline,
      sub: options.sub,
      partition: options.partition,
      codec: options.codec,
      state: options.state,
      tables: options.tables,
      output: this.#epochs.output,
      counters: this.counters,
      channelsOf: options.channelsOf,
      now: options.now,
      onDeadLetter: (topic, code) => options.metrics?.deadLetter(topic, code),
      reads: (topic) => options.positions.has(topic),
    });
  }

  /** Lets the operators look at the restored state. Call once, before the first batch. */
  start(): Promise<void> {
    return this.#turns.take(async () => {
      this.#epochs.start();
      this.#core.start();
      await this.#catchUp();
    });
  }

  /**
   * Processes a batch, in one or more epochs; records before the position were processed already. It never waits for a
   * record that a step wants to try again later: what came before that one is committed, the position stands at it, and
   * `waitsUntil` says when to come again with what is behind the position.
   * @returns whether all of the batch was processed; false when a record of it, or of one before it, waits.
   * @param heartbeat called between epochs; when it fails the rest of the batch is left, and `run` throws the same.
   * @throws ReachflowError `STEP_FAILED` (a bug, retry: none), or what a commit throws: the task is broken then.
   */
  async run(batch: Batch, heartbeat: () => Promise<void>): Promise<boolean> {
    // The group changes between two epochs: the task is as good as before, should the partition stay.
    const left = new AbortController();
    const beat = () => heartbeat().catch((error: unknown) => left.abort(error));
    const isDone = await this.#turns.take(() => this.#run(batch, beat, left.signal));
    left.signal.throwIfAborted();
    return isDone;
  }

  async #run(batch: Batch, heartbeat: () => Promise<void>, left: AbortSignal): Promise<boolean> {
    if (this.waitsUntil !== undefined) return false;
    const { topic, records, nextOffset, atEnd } = batch;
    const { codec, sub, pipeline } = this.#options;
    const input = inputsOf(pipeline, sub).find((read) => read.topic === topic);
    this.#payloads = undefined;
    if (input?.source.kind === 'topic') {
      const logical = input.source.topic;
      const values = records.map(({ value }) => value);
      await codec.load(
        logical,
        values,
        records.map(({ key }) => key),
      );
      this.#payloads = new BatchPayloads(codec, logical, values);
    }
    this.#ends.set(topic, atEnd);
    this.#core.seen(topic, atEnd, records.length > 0);
    let next = 0;
    while (next < records.length || this.#core.isBehind) {
      const ended = await this.#epoch(batch, next);
      if (ended === undefined) return false;
      next = ended;
      if (next < records.length) await heartbeat();
      if (left.aborted) return false;
    }
    this.#payloads = undefined;
    this.#epochs.moveTo(topic, nextOffset);
    if (this.position(topic) !== this.committedPositions.get(topic)) {
      await this.#finishEpoch('always');
    }
    return true;
  }

  /**
   * One epoch of a batch's records from index `from`. Returns the index of the next one; undefined when that waits. A
   * record that stops it, to be tried again or for what it would write, ends the epoch before it; so may one before that
   * do when it is processed once more: each time the epoch is shorter, down to none.
   */
  async #epoch(batch: Batch, from: number): Promise<number | undefined> {
    const { topic, records, nextOffset } = batch;
    const payloads = await this.#payloads?.from(from);
    let to = payloads?.end ?? records.length;
    if (payloads?.failure !== undefined && to === from) {
      // What came before is committed: the record and those behind it wait. Nothing is lost, and nothing overtakes it.
      this.#payloads = undefined;
      const record = `${topic}[${this.partition}]@${records[from]?.offset}`;
      this.#waits.forPayload(record, payloads.failure);
      return undefined;
    }
    this.#waits.payloadRead();
    let stop: RetryLater | Oversized | undefined;
    for (;;) {
      if (stop !== undefined && to === from) return this.#stopAt(batch, to, stop);
      try {
        await this.#catchUp();
        if (to === from) return from;
        const next = this.#process(batch, from, to);
        await this.#core.drain();
        if (next === to) this.#epochs.moveTo(topic, records[to]?.offset ?? nextOffset);
        await this.#finishEpoch('always');
        return stop !== undefined && next === to ? await this.#stopAt(batch, to, stop) : next;
      } catch (error) {
        const isStop = error instanceof RetryLater || error instanceof Oversized;
        if (!isStop) throw error;
        const at = indexOfSource(batch, from, to, error);
        if (at === undefined && error instanceof Oversized) throw error.reason;
        this.#rollback();
        stop = error;
        to = at ?? from;
      }
    }
  }

  /** What came before the record at index `at` is committed: it waits, or is dead-lettered. */
  async #stopAt(
    { topic, records }: Batch,
    at: number,
    stop: RetryLater | Oversized,
  ): Promise<number | undefined> {
    if (stop instanceof RetryLater) {
      this.#waits.forRecord(stop);
      return undefined;
    }
    this.#beginEpoch();
    this.#core.refuse(stop);
    this.#epochs.moveTo(topic, (records[at]?.offset ?? -1n) + 1n);
    await this.#finishEpoch('always');
    return at + 1;
  }

  /** Fires the timers that did not fit into the last epoch, in epochs of their own. */
  async #catchUp(): Promise<void> {
    for (let epochs = 0; this.#core.isBehind; epochs += 1) {
      if (epochs === MAX_CATCH_UPS)
        throw new Error('timers that are due schedule themselves again');
      this.#beginEpoch();
      this.#core.catchUp();
      await this.#core.drain();
      await this.#finishEpoch('if needed');
    }
  }

  /** Processes records from index `from` until the epoch is full. Returns the index of the next one. */
  #process({ topic, records }: Batch, from: number, to: number): number {
    const { maxEpochRecords } = this.#options;
    const position = this.position(topic) ?? 0n;
    this.#core.payloads = this.#payloads?.current;
    for (let i = from; i < to; i += 1) {
      const record = records[i];
      if (record === undefined || record.offset < position) continue;
      this.#beginEpoch();
      if (this.#epochRecords === 0) this.#observer.begin(topic, record);
      this.#core.process(topic, this.#observer.traced(record));
      this.#epochRecords += 1;
      const full =
        this.#core.isBehind ||
        this.#epochRecords >= maxEpochRecords ||
        (this.#epochRecords % BYTES_CHECK === 0 && this.#epochs.bytes >= MAX_EPOCH_BYTES);
      if (!full) continue;
      this.#epochs.moveTo(topic, record.offset + 1n);
      return i + 1;
    }
    return to;
  }

  /** The epoch is void: state and operators are again what was committed. */
  #rollback(): void {
    this.#epochs.rollback();
    this.#epochRecords = 0;
    this.#core.dispose();
    this.#core = this.#newCore();
    this.#core.start();
    for (const [topic, atEnd] of this.#ends) this.#core.seen(topic, atEnd, true);
  }

  #beginEpoch(): void {
    if (this.#epochRecords === 0) this.#epochBegan = performance.now();
  }

  /** Commits that a source was read up to `nextOffset`, where there was no record. */
  skipTo(topic: string, nextOffset: bigint): Promise<void> {
    return this.#turns.take(async () => {
      if (this.waitsUntil !== undefined) return;
      this.#ends.set(topic, true);
      this.#core.seen(topic, true, false);
      if (nextOffset <= (this.position(topic) ?? 0n)) return;
      // A step that asks for a later try here has the next epoch commit it.
      await this.#orLater(async () => {
        this.#epochs.moveTo(topic, nextOffset);
        await this.#finishEpoch('always');
      });
    });
  }

  /** Tells that a source is read to its end. */
  atEnd(topic: string): void {
    this.#ends.set(topic, true);
    this.#core.seen(topic, true, false);
  }

  /**
   * Lets time pass without records: idleness, wall-clock timers. Call about each half second. @throws as `run`.
   * @param isAtEnd whether a source is known to be read to its end now; by default it is while the last batch said so.
   */
  tick(isAtEnd?: (topic: string) => boolean): Promise<void> {
    return this.#turns.take(async () => {
      if (this.waitsUntil !== undefined || this.#waits.isResting) return;
      await this.#orLater(async () => {
        this.#core.tick(isAtEnd);
        await this.#core.drain();
        await this.#finishEpoch('if needed');
        await this.#catchUp();
      });
      await this.#tableChanges();
    });
  }

  /** Notes that a table's row changed; handled between batches, by `runTableChanges`. */
  tableChanged(topic: TopicName, key: string): void {
    this.#changedKeys.set(`${topic}/${key}`, { topic, key });
  }

  /** Handles the noted table changes, in epochs of bounded size. @throws as `run`. */
  runTableChanges(): Promise<void> {
    return this.#turns.take(() => this.#tableChanges());
  }

  async #tableChanges(): Promise<void> {
    if (this.waitsUntil !== undefined) return;
    while (this.#changedKeys.size > 0 && !this.#waits.isResting) {
      const taken: { readonly topic: TopicName; readonly key: string }[] = [];
      const isDone = await this.#orLater(async () => {
        await this.#catchUp();
        for (const [id, changed] of this.#changedKeys) {
          this.#changedKeys.delete(id);
          taken.push(changed);
          this.#core.tableChanged(changed.topic, changed.key);
          if (taken.length >= CHANGED_KEYS_PER_EPOCH || this.#epochs.bytes >= MAX_EPOCH_BYTES)
            break;
        }
        await this.#core.drain();
        await this.#finishEpoch('if needed');
      });
      if (!isDone) for (const { topic, key } of taken) this.tableChanged(topic, key);
    }
  }

  /** What no record is behind is tried again by a later `tick` when a step asks for it; false then. */
  async #orLater(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof RetryLater)) throw error;
      this.#rollback();
      this.#waits.forRest(error);
      return false;
    }
  }

  /** `if needed`: only when there is something but the watermark to commit; that waits for the next epoch. */
  async #finishEpoch(mode: 'always' | 'if needed'): Promise<void> {
    this.#beginEpoch();
    await this.#core.endEpoch();
    const hasOutcome = this.#epochs.count > 0 || this.#options.state.hasChanges;
    if (mode === 'if needed' && !hasOutcome) return;
    this.#core.saveWatermarks();
    const began = performance.now();
    const { records, bytes } = await this.#epochs.commit(this.#core.watermark);
    const ended = performance.now();
    const { counters } = this;
    counters.recordsOut += records;
    counters.bytesOut += bytes;
    counters.lastCommitMs = ended - began;
    counters.lastEpochMs = ended - this.#epochBegan;
    counters.epochs += 1;
    this.#observer.committed(counters.lastCommitMs, counters.lastEpochMs, this.#epochRecords);
    this.#epochRecords = 0;
  }

  #atBoundary(offset: bigint): void {
    const deletion = Promise.resolve(this.#options.onBoundary?.(offset)).finally(() => {
      this.#deletions.delete(deletion);
    });
    this.#deletions.add(deletion);
  }

  /** Resolves when no epoch is under way. What it failed with is thrown to who began it. */
  rests(): Promise<void> {
    return this.#turns.rests();
  }

  /**
   * Waits for the epoch under way, then lets go of producer and state. What did not commit is forgotten. The next owner
   * is not to read a log that is being shortened: what is being deleted is waited for, for a moment.
   */
  async close(): Promise<void> {
    await this.#turns.end(new Error('the task is closed'));
    this.#core.dispose();
    await settledWithin(DELETION_MS, [...this.#deletions]);
    await this.#options.producer.close();
    this.#options.metrics?.close();
    const { state, logger } = this.#options;
    state.rollback();
    // What it cannot flush, for a full disk, is in the changelog.
    await state.close().catch((error: unknown) => {
      logger.warn({ error: errorMessage(error) }, 'state closed behind its changelog');
    });
  }
}
