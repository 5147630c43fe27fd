import type { ReachflowError } from '../errors.ts';

/**
 * How a sink stays correct through crashes, and what the delivery runner does for it:
 * - `transactional`: rows and the next offset commit together in the store. The runner reads its position from there
 *   (`claim`), and Kafka's committed offset only says how far that is;
 * - `planned`: the store drops a range of offsets that it has already, if it comes again just as it was. The runner
 *   commits the range it is about to write before it writes it, and after a crash writes that same range;
 * - `idempotent`: writing a record again, in any batch, leaves the store as it was;
 * - `at-least-once`: a repeat may show.
 */
export type DeliveryMode = 'transactional' | 'planned' | 'idempotent' | 'at-least-once';

/** One decoded Kafka record on its way to a store. */
export interface SinkRecord {
  /** Logical topic name, a key of `schemas/topics.ts`. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** Kafka record timestamp, ms since the epoch. */
  readonly timestamp: number;
  readonly key: string;
  /** The value in the topic's reader schema; null is a tombstone (the key was deleted). */
  readonly value: Readonly<Record<string, unknown>> | null;
  /** Source version, growing per key (an LSN for change data). A store never replaces a newer one. */
  readonly version: bigint;
}

/** The offsets that a batch stands for; those of one partition follow one another without a gap. */
export interface OffsetRange {
  /** The position before the batch: where the range before ended. */
  readonly start: bigint;
  /** The position after it: the next offset to read. */
  readonly end: bigint;
  /** Of `claim`; 0 for sinks without. */
  readonly epoch: bigint;
  /**
   * For `planned` sinks, else empty: digest of all that the topic holds in the range, whatever becomes of it on its way.
   * The same range of the same topic has the same one; in a topic made anew, or cut short since, it has another.
   */
  readonly origin: string;
}

/** Records of one partition, offsets ascending. */
export interface SinkBatch {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
  /**
   * Undefined for records that are written beside the stream, after a retry of their own: no position moves then.
   * Records of the range that were dead-lettered or parked are not among `records`; it may be empty. Only a `planned`
   * sink gets those that it rejected itself again, as long as others of the range are not written: a range that it
   * has written in parts comes to the same parts.
   */
  readonly range: OffsetRange | undefined;
  /**
   * For `planned` sinks, with records that are written beside the stream: names the group that they were planned as. After a
   * crash the same group comes again under the same name, less what retention has deleted of it meanwhile.
   */
  readonly plan?: string;
  readonly records: readonly SinkRecord[];
}

/**
 * What became of one record.
 * - `delivered`: durable in the store, or already superseded there by a newer version;
 * - `retry` of the `store`: it could not take anything now (down, overloaded, timed out). Nothing is wrong with the
 *   record: the partition waits;
 * - `retry` of the `record`: this one cannot be written now and may be later (a row that it refers to is missing).
 *   It is tried again by itself, and later records of its key wait for it;
 * - `rejected`: this record can never be written as it is; it belongs in the DLQ;
 * - `held`: nothing is wrong with it, but it was to be written together with one of the above, and was not.
 */
export type RecordResult =
  | { readonly status: 'delivered' }
  | { readonly status: 'held' }
  | { readonly status: 'retry'; readonly of: 'store' | 'record'; readonly error: ReachflowError }
  | { readonly status: 'rejected'; readonly error: ReachflowError };

/** The shared `delivered` value: results of good records allocate nothing. */
export const DELIVERED: RecordResult = { status: 'delivered' };
export const HELD: RecordResult = { status: 'held' };

/** A partition taken over in a store that keeps positions. */
export interface Claim {
  /** Larger than that of every owner before; writes under a smaller one are refused from now on. */
  readonly epoch: bigint;
  /** Where to go on; undefined when the store knows nothing of the partition. */
  readonly position: bigint | undefined;
  /** Of the topic that `position` is of: that of the claim which wrote the first of it; undefined where none was given. */
  readonly topicId?: string | undefined;
}

/** How much a sink likes to get at once: a batch is written when one of these is reached. */
export interface SinkLimits {
  /** Records of a batch, at most. */
  readonly records: number;
  /** Bytes of a batch, as they are in Kafka, at most; a single record may be larger. */
  readonly bytes: number;
  /** How long the first record of a batch waits for company, ms. 0 writes what there is. */
  readonly lingerMs: number;
}

/**
 * A destination store. The delivery runner (`runtime/delivery/sink-runner.ts`) owns retries, back-off, the DLQ
 * and offsets; a sink classifies failures and never loops.
 */
export interface Sink {
  /** Registry name, also the consumer part of the DLQ's name: `<topic>.<name>.dlq`. */
  readonly name: string;
  readonly mode: DeliveryMode;
  /** Logical names of the topics it writes. */
  readonly topics: readonly string[];
  readonly limits: SinkLimits;
  /** Partitions written at the same time, at most. */
  readonly writers: number;

  /**
   * Called once before the first `write`: connect, create or check tables and mappings. Idempotent.
   * @throws ReachflowError `retry: 'backoff'` while the store is unreachable (the runner calls it again);
   *   `retry: 'none'` when settings or an existing table make delivery impossible: the process refuses to start.
   */
  open(): Promise<void>;

  /**
   * `transactional` sinks only: takes a partition over, fencing whoever had it, and tells where to go on. Called on
   * assignment, before the first batch of the partition, and again after `SINK_FENCED` where the member still holds it.
   * @param topicId tells the topic from others that had its name before; kept with the position. Undefined before Kafka 2.8.
   * @throws ReachflowError `retry: 'backoff'` while the store is unreachable.
   */
  claim?(topic: string, partition: number, topicId?: string): Promise<Claim>;

  /**
   * Writes a batch. Returns one result per record, same order. Delivered means durable. Several partitions are written
   * concurrently; one partition never is.
   *
   * A `transactional` sink writes all records and `range.end`, or nothing: when one record is at fault, the others are
   * `held`, and the runner calls again without it. It does so too when the batch is empty and has a range.
   *
   * A `planned` sink does the same for a range or group in which it answers `retry` of a `record`: what it leaves out of a write
   * has to be in the retry topic before, since the same range may come again when the record has healed, and is dropped
   * then. (Where a write of an owner before is under way meanwhile, and takes the record, the record is written twice: the
   * planned sink that there is never answers so.) Beside a record that it rejects for what is in it, as it will each time,
   * it may write the others.
   * @throws ReachflowError `SINK_FENCED` when another owner has claimed the partition, or the store's position is not
   *   `range.start`: nothing was written. With `retry: 'backoff'`: as if every record were answered `retry` of the
   *   `store`; an empty batch has no other answer. Else only for bugs; whatever a store answers is classified into a result.
   */
  write(batch: SinkBatch): Promise<readonly RecordResult[]>;

  /**
   * Why the record can never be written as it is, as far as that can be told without the store; undefined when nothing
   * speaks against it. For dry runs: may be called before `open`.
   */
  check?(record: SinkRecord): ReachflowError | undefined;

  /** Release connections; called once, after the last `write` has settled. */
  close(): Promise<void>;
}
