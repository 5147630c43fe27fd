import type { ReachflowError } from '../errors.ts';

/**
 * How a sink stays correct when a batch is written twice:
 * - `transactional`: rows and consumed offsets commit together in the store;
 * - `idempotent`: writing the same record again leaves the store as it was;
 * - `at-least-once`: a repeat may show.
 */
export type DeliveryMode = 'transactional' | 'idempotent' | 'at-least-once';

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

/**
 * What became of one record.
 * - `delivered`: durable in the store, or already superseded there by a newer version;
 * - `retry`: the store could not take it now (down, overloaded, timed out). Nothing is wrong with the record;
 * - `rejected`: this record can never be written as it is; it belongs in the DLQ.
 */
export type RecordResult =
  | { readonly status: 'delivered' }
  | { readonly status: 'retry'; readonly error: ReachflowError }
  | { readonly status: 'rejected'; readonly error: ReachflowError };

/** The shared `delivered` value: results of good records allocate nothing. */
export const DELIVERED: RecordResult = { status: 'delivered' };

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
  /** The most records that one `write` should get. */
  readonly maxBatch: number;

  /**
   * Called once before the first `write`: connect, create or check tables and mappings. Idempotent.
   * @throws ReachflowError `retry: 'backoff'` while the store is unreachable (the runner calls it again);
   *   `retry: 'none'` when settings or an existing table make delivery impossible: the process refuses to start.
   */
  open(): Promise<void>;

  /**
   * Write records of one topic partition, offsets ascending. Returns one result per record, same order.
   * Delivered means durable. Several partitions are written concurrently; one partition never is.
   * @throws only for bugs; whatever a store answers is classified into a result.
   */
  write(batch: readonly SinkRecord[]): Promise<readonly RecordResult[]>;

  /** Release connections; called once, after the last `write` has settled. */
  close(): Promise<void>;
}
