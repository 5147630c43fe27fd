import type { TopicName } from '../../schemas/topics.ts';
import type { BroadcastTable, TableSpec } from '../state/broadcast-table.ts';
import type { StoreSpec } from '../state/contract.ts';
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

/** What a low-level step works with; all it stores and forwards commits with the input's offset, or not at all. */
export interface ProcessContext<W, O extends Record<string, unknown>> {
  readonly partition: number;
  store<S>(spec: StoreSpec<S>): S;
  table<T extends TopicName, R>(spec: TableSpec<T, R>): BroadcastTable<R>;
  readonly timers: Timers;
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
  /** Names for `forwardTo`. */
  readonly outputs?: readonly (keyof O & string)[];
  create(context: ProcessContext<W, O>): Processor<V>;
}
