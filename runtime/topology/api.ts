import type { TopicName, TopicValue } from '../../schemas/topics.ts';
import type { PatternFor } from '../cep/pattern.ts';
import type { AsyncOptions } from '../operators/async-options.ts';
import type { MatchOptions, PatternMatch } from '../operators/match-api.ts';
import type { ProcessSpec } from '../operators/process-api.ts';
import type { BroadcastTable, TableSpec } from '../state/broadcast-table.ts';
import type { Serde } from '../state/contract.ts';
import type { Outcome } from './outcome.ts';
import type { StreamRecord } from './record.ts';
import type { SessionWindow, WindowSpec } from './windows.ts';

/**
 * The typed builder's face. Every step is named by its author: the name is in stores, internal topics, metrics, DLQ
 * headers and errors, so it must stay when the code changes. A stream that leads nowhere is refused.
 */

/** Records of one type, keyed by text. */
export interface Stream<V> {
  /** Keeps the records that `predicate` is true of. */
  filter(name: string, predicate: (value: V, record: StreamRecord<V>) => boolean): Stream<V>;
  filter<W extends V>(name: string, predicate: (value: V) => value is W & V): Stream<W>;
  /** Each record becomes one, with the same key and time. */
  map<W>(name: string, mapper: (value: V, record: StreamRecord<V>) => W): Stream<W>;
  /** Each record becomes none, one or several, in the given order. */
  flatMap<W>(name: string, mapper: (value: V, record: StreamRecord<V>) => Iterable<W>): Stream<W>;
  /** As `map`, but a record can also be dropped, dead-lettered, redirected to one of `outputs`, or tried again later. */
  step<W, O extends Record<string, unknown> = Record<never, never>>(
    name: string,
    work: (value: V, record: StreamRecord<V>) => Outcome<W>,
    outputs?: readonly (keyof O & string)[],
  ): WithOutputs<W, O>;
  /** Gives records another key: a join or an aggregate behind it goes through a repartition topic. */
  selectKey(
    name: string,
    key: (value: V, record: StreamRecord<V>) => string,
    options?: { readonly serde?: Serde<V> },
  ): Stream<V>;
  /**
   * The same records in the task that owns their key, through a topic of the pipeline's own, where the key was changed: for a
   * `process` behind it. Joins and aggregates do it by themselves.
   */
  repartition(name: string): Stream<V>;
  /** Each record goes to the first branch whose predicate is true, else to `rest`. */
  branch<B extends string>(
    name: string,
    branches: Readonly<Record<B, (value: V, record: StreamRecord<V>) => boolean>>,
  ): Readonly<Record<B | 'rest', Stream<V>>>;
  /** All records of both; order is kept within each. */
  merge<W>(name: string, other: Stream<W>): Stream<V | W>;
  /** Passes the first record of each id within `ttlMs` of event time. */
  dedup(name: string, options: DedupOptions<V>): Stream<V>;
  /** Calls the outside world, many records at a time, results in order. */
  asyncMap<W>(
    name: string,
    options: AsyncOptions<V, W>,
    call: (value: V, signal: AbortSignal) => Promise<Outcome<W>>,
  ): Stream<W>;
  /** Joins each record with the table's row of its key. Rows come first: the table is read to its end at the start. */
  join<T, R>(
    name: string,
    table: Table<T>,
    joiner: (value: V, row: T, key: string) => R,
  ): Stream<R>;
  /** As `join`, but a record without a row goes on, with `undefined`. */
  leftJoin<T, R>(
    name: string,
    table: Table<T>,
    joiner: (value: V, row: T | undefined, key: string) => R,
  ): Stream<R>;
  /** Joins each pair of records of one key that are within `withinMs` of each other in event time. */
  joinStream<W, R>(
    name: string,
    other: Stream<W>,
    options: StreamJoinOptions<V, W>,
    joiner: (left: V, right: W, key: string) => R,
  ): JoinedStream<R, V | W>;
  /** Joins with a table that each process holds whole, by any key: no repartitioning, for small tables. */
  joinGlobal<T extends TopicName, Row, R>(
    name: string,
    table: TableSpec<T, Row>,
    options: {
      readonly key: (value: V) => string | null;
      readonly join: (value: V, row: Row | undefined) => R;
    },
  ): Stream<R>;
  /** Groups by another key; what is aggregated goes through a repartition topic, combined per epoch. */
  groupBy(
    key: (value: V, record: StreamRecord<V>) => string,
    options?: { readonly serde?: Serde<V> },
  ): Grouped<V>;
  /** Groups by the key that records have: no repartitioning unless the key was changed. */
  groupByKey(options?: { readonly serde?: Serde<V> }): Grouped<V>;
  /** Looks for a pattern in the events of each key, in order of event time: see `runtime/cep/pattern.ts`. */
  match<N extends string>(
    name: string,
    pattern: PatternFor<V, N>,
    options?: MatchOptions<V>,
  ): MatchedStream<V, N>;
  /** The low-level step: stores, timers, tables, named outputs. */
  process<W, O extends Record<string, unknown> = Record<never, never>>(
    name: string,
    spec: ProcessSpec<V, W, O>,
  ): WithOutputs<W, O>;
  /** The newest value of each key, as a table with a store of its own. */
  toTable(name: string, serde?: Serde<V>): Table<V>;
  /** Writes records to a topic of the map, in the epoch's transaction. */
  to<T extends TopicName>(topic: T, options: ToOptions<V, T>): void;
  to<T extends TopicName>(this: Stream<TopicValue<T> | null>, topic: T): void;
  /** Ends here on purpose. */
  ignore(why: string): void;
}

/** A stream with named outputs beside it. */
export interface WithOutputs<V, O extends Record<string, unknown>> extends Stream<V> {
  output<K extends keyof O & string>(name: K): Stream<O[K]>;
}

/** Matches of a pattern, keyed as its events, at the time of the last one, or of the pattern's end. */
export interface MatchedStream<V, N extends string> extends Stream<PatternMatch<V, N>> {
  /** What was matched when the time of the pattern was over. */
  timedOut(): Stream<PatternMatch<V, N>>;
  /** Partial matches that were given up because their key had too many. Those that nobody takes are counted as dropped. */
  abandoned(): Stream<PatternMatch<V, N>>;
  /** Events that came after the watermark. Those that nobody takes go to the DLQ, code `LATE`. */
  late(): Stream<V>;
}

/** Pairs of two streams. */
export interface JoinedStream<R, V> extends Stream<R> {
  /** Records that came too late to find their partners. Those that nobody takes go to the DLQ, code `LATE`. */
  late(): Stream<V>;
}

/** The newest value of each key. */
export interface Table<V> {
  /** Every change as a record; null is a deletion. */
  toStream(): Stream<V | null>;
  /** Joins rows of one key; a change on either side makes a new row, and a row missing on either side a deletion. */
  join<W, R>(
    name: string,
    other: Table<W>,
    joiner: (left: V, right: W, key: string) => R,
  ): Table<R>;
}

/** Records on their way to an aggregate. */
export interface Grouped<V> {
  /** How many, per key, since the beginning. */
  count(name: string): Table<number>;
  /** The values of a key made into one, two at a time; has to be associative. */
  reduce(name: string, reducer: (a: V, b: V) => V, serde?: Serde<V>): Table<V>;
  aggregate<A>(name: string, aggregator: Aggregator<V, A>): Table<A>;
  /** By windows of event time. */
  window(spec: WindowSpec | SessionWindow): Windowed<V>;
}

export interface Windowed<V> {
  count(name: string, options?: EmitOptions): WindowedStream<number, V>;
  reduce(
    name: string,
    reducer: (a: V, b: V) => V,
    options?: EmitOptions & { readonly serde?: Serde<V> },
  ): WindowedStream<V, V>;
  aggregate<A>(
    name: string,
    aggregator: Aggregator<V, A>,
    options?: EmitOptions,
  ): WindowedStream<A, V>;
}

/** Results by window, keyed by the group, at the window's end in event time. */
export interface WindowedStream<A, V> extends Stream<WindowResult<A>> {
  /** Records that came after their window's end + grace. Those that nobody takes go to the DLQ, code `LATE`. */
  late(): Stream<V>;
}

export interface WindowResult<A> {
  readonly key: string;
  /** ms since the epoch; the window has `start` and everything before `end`. */
  readonly start: number;
  readonly end: number;
  readonly value: A;
}

/** `update`: each time it changed, once per epoch. `close`: once, when the watermark has passed end + grace. */
export interface EmitOptions {
  readonly emit?: 'update' | 'close';
}

/** How values become one. With `merge` they are combined before the repartition topic: one record per epoch and key. */
export interface Aggregator<V, A> {
  init(): A;
  add(aggregate: A, value: V, key: string): A;
  /** Of two aggregates of one key; needed by session windows. Without it values travel one by one. */
  merge?(a: A, b: A): A;
  /** Of the aggregate; structured clone by default. */
  readonly serde?: Serde<A>;
}

export interface DedupOptions<V> {
  /** Identity of an event; an empty one is never a duplicate. */
  readonly id: (value: V) => string;
  /** How long an id is remembered, ms of event time. */
  readonly ttlMs: number;
  /** The time that the TTL goes by, ms; the record's event time by default. */
  readonly time?: (value: V, record: StreamRecord<V>) => number;
}

export interface StreamJoinOptions<V, W> {
  readonly withinMs: number;
  /** How long after that a late record still finds its partners, ms; default 0. */
  readonly graceMs?: number;
  readonly leftSerde?: Serde<V>;
  readonly rightSerde?: Serde<W>;
}

export interface ToOptions<V, T extends TopicName> {
  /** Key of the output record; that of the record by default. */
  readonly key?: (value: V, record: StreamRecord<V>) => string;
  /** Value of the output record; null is a tombstone. */
  readonly value?: (value: V, record: StreamRecord<V>) => TopicValue<T> | null;
}

export interface StreamOptions<T extends TopicName> {
  /**
   * Name of the source, and of the sub-topology whose first stream it is; by default the topic's with `-` for `.`. Both
   * must stay: another first stream is another consumer group with another state.
   */
  readonly name?: string;
  /** Event time of a value, ms; the Kafka record's timestamp by default. */
  readonly timestamp?: (value: TopicValue<T>, recordTimestamp: number) => number;
  /** How far a record may follow a newer one before grace counts, ms; default 0. */
  readonly disorderMs?: number;
  /** How far ahead of the Kafka timestamp event time moves the watermark, ms; default 5 min. */
  readonly maxAheadMs?: number;
  /** After how long a partition that is read to its end stops holding the watermark back, ms; default 30 s. */
  readonly idleAfterMs?: number;
}

/** What `defineTopology` hands to its author. */
export interface TopologyBuilder {
  stream<T extends TopicName>(topic: T, options?: StreamOptions<T>): Stream<TopicValue<T>>;
  /** As `stream`, with the records that have no value. */
  streamWithTombstones<T extends TopicName>(
    topic: T,
    options?: StreamOptions<T>,
  ): Stream<TopicValue<T> | null>;
  /** The newest value of each key of a topic; a tombstone deletes. */
  table<T extends TopicName>(
    topic: T,
    options?: { readonly name?: string; readonly serde?: Serde<TopicValue<T>> },
  ): Table<TopicValue<T>>;
}

export type { BroadcastTable, MatchOptions, PatternMatch, TableSpec };
