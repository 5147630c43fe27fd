import type { TopicName } from '../../schemas/topics.ts';
import type { BroadcastTable, TableSpec } from '../state/broadcast-table.ts';
import type { StoreSpec } from '../state/contract.ts';
import type { BreakerState } from '../task/counters.ts';
import type { NotOk } from '../topology/outcome.ts';
import type { StreamRecord } from '../topology/record.ts';

/** What `process` forwards beside key and value. */
export interface ForwardOptions {
  /** Event time, ms; the input's when absent. */
  readonly timestamp?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** By event time (the task's watermark) or by the wall clock. */
export type TimerKind = 'event' | 'wall';

export interface Timers {
  /** At most one timer a key and kind: a second one replaces the first. Timers are state: they survive restarts. */
  schedule(kind: TimerKind, key: string, atMs: number): void;
  cancel(kind: TimerKind, key: string): void;
}

/** How the calls of a low-level step run. */
export interface CallOptions {
  /** How long an epoch waits for calls that it began, ms: what is back by then commits with it. Default 50. */
  readonly patienceMs?: number;
  /** Calls under way in a task; the epoch that goes beyond waits until there are no more. Default 10,000. */
  readonly maxUnderWay?: number;
  /** What stands before the service that is called, for metrics. */
  readonly breaker?: () => BreakerState | undefined;
}

/** Calls of the outside world in the background: no epoch, and no other record, waits until they end. */
export interface Calls {
  /**
   * Begins a call, unless one of this id is under way. `then` gets what it came to in the same epoch or a later one, may
   * store and forward there, and commits with it. A call that is under way when the task ends is forgotten: keep what is
   * asked in a store, and begin it again in `onStart`.
   * @param call ends by itself in bounded time, and resolves whatever happens: a rejection is a bug, it stops the task.
   */
  start<R>(id: string, call: () => Promise<R>, then: (result: R) => void): void;
}

/** What a low-level step works with; all it stores and forwards commits with the input's offset, or not at all. */
export interface ProcessContext<W, O extends Record<string, unknown>> {
  readonly partition: number;
  store<S>(spec: StoreSpec<S>): S;
  table<T extends TopicName, R>(spec: TableSpec<T, R>): BroadcastTable<R>;
  readonly timers: Timers;
  /** Of a step that declares `calls`. */
  readonly calls: Calls;
  forward(key: string, value: W, options?: ForwardOptions): void;
  forwardTo<K extends keyof O & string>(
    output: K,
    key: string,
    value: O[K],
    options?: ForwardOptions,
  ): void;
  /** Watermark of the task, ms; -Infinity before the first record. */
  watermark(): number;
  /** ms since the epoch, for timers by the wall clock: what is stored or forwarded would differ in each run. */
  now(): number;
}

/** The code of a low-level step in one task. */
export interface Processor<V> {
  /** Undefined is ok. */
  process(value: V, record: StreamRecord<V>): NotOk | undefined;
  /** A timer has come; it is no longer scheduled. */
  onTimer?(key: string, atMs: number, kind: TimerKind): void;
  /** Once, with the state restored and the tables read to their end, before the first record. */
  onStart?(): void;
  /** A row of a declared table changed. */
  onTableChange?(topic: TopicName, key: string): void;
  /** Before each commit: forward what was gathered in the epoch. */
  endEpoch?(): void;
}

/** Declares a low-level step. */
export interface ProcessSpec<V, W, O extends Record<string, unknown>> {
  readonly stores?: readonly StoreSpec<unknown>[];
  readonly tables?: readonly TableSpec<TopicName, unknown>[];
  /** The step calls the outside world. */
  readonly calls?: CallOptions;
  /** Names for `forwardTo`. */
  readonly outputs?: readonly (keyof O & string)[];
  create(context: ProcessContext<W, O>): Processor<V>;
}
