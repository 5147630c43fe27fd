/** A place where the traced record, or what was made of it, was found. */
export interface Visit {
  /** `topic[partition]@offset`. */
  readonly id: string;
  /** Logical name. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** ms since the epoch, of the record. */
  readonly timestamp: number;
  readonly key: string;
  /** A topic of the map, the DLQ of a consumer, or where it waits to be tried again. */
  readonly kind: 'record' | 'dead letter' | 'retry';
  /** Fields that say what it is: ids, versions, times; null for a tombstone, undefined where it could not be decoded. */
  readonly summary: Readonly<Record<string, unknown>> | null | undefined;
  /** W3C trace id, where the record was traced. */
  readonly traceId: string | undefined;
  readonly failure: Failure | undefined;
  /** What it was made from; undefined where nothing was found that it could be. */
  readonly from: Origin | undefined;
}

/** Why a record is a dead letter, or waits. */
export interface Failure {
  readonly consumer: string;
  readonly step: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly replays: number;
  /** What was done with a dead letter. */
  readonly resolution: 'open' | 'redriven' | 'dropped' | undefined;
}

/** How a visit hangs together with another. */
export interface Origin {
  /** Of the other visit. */
  readonly visit: string;
  /**
   * - `headers`: the record says so itself;
   * - `id`: a pipeline leads from one topic to the other, and both have the id that was asked for;
   * - `key`: a pipeline leads there, and the keys are the same: the last one before it.
   */
  readonly by: 'headers' | 'id' | 'key';
  /** Undefined for DLQs and retries, which consumers write. */
  readonly pipeline: string | undefined;
  /** On the way, in order. */
  readonly steps: readonly string[];
}

/** A row of a store that was made from what was found. */
export interface StoreVisit {
  readonly store: 'postgres' | 'clickhouse' | 'elasticsearch';
  readonly table: string;
  readonly key: Readonly<Record<string, unknown>>;
  /** Undefined when the store has no such row. */
  readonly version: string | undefined;
  readonly deleted: boolean;
  /** Kafka position of the record that the row is of, where the store keeps it. */
  readonly position: string | undefined;
  readonly found: boolean;
  /** Why the store could not be asked. */
  readonly problem: string | undefined;
  /** The visit that was written. */
  readonly visit: string;
}

/** A change of a task's state, from its changelog. */
export interface StateVisit {
  readonly pipeline: string;
  readonly subTopology: string;
  readonly partition: number;
  /** Of the changelog. */
  readonly offset: bigint;
  readonly epoch: number;
  readonly store: string;
  readonly change: 'set' | 'deleted';
  /** Bytes of the value. */
  readonly bytes: number;
}

/** What was looked through for it. */
export interface Searched {
  readonly partitions: number;
  readonly records: number;
  readonly bytes: number;
  /** More was found than is shown. */
  readonly isTruncated: boolean;
}

/** Everything that was found of a key or an id. */
export interface Trace {
  readonly query: string;
  /** By time, then by place. */
  readonly visits: readonly Visit[];
  readonly stores: readonly StoreVisit[];
  readonly states: readonly StateVisit[];
  readonly searched: Searched;
}
