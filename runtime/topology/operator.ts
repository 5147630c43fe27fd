import type { ValueWriter } from '../../schemas/codec.ts';
import type { TopicName } from '../../schemas/topics.ts';
import type { ReachflowError } from '../errors.ts';
import type { BroadcastTable, TableSpec } from '../state/broadcast-table.ts';
import type { StoreSpec } from '../state/contract.ts';
import type { StepCounters } from '../task/counters.ts';
import type { StreamRecord } from './record.ts';

/** Hands a record to what follows. */
export type Forward = (record: StreamRecord) => void;

/**
 * The code of one node in one task. Everything but `drain` is synchronous: a task works on one record at a time.
 * A throw is a bug: it stops the task, with the record's position.
 */
export interface Operator {
  /** @param input which of the node's inputs it came through; 0 for the first. */
  process(record: StreamRecord, input: number): void;
  /** Once, with the state restored, before the first record. */
  start?(): void;
  /**
   * Event time has come to a time asked for by `wakeAt`. Returns the next time to wake at; Infinity for none; one that
   * has come already when there is more to do than an epoch should hold: the rest is asked for in the next one.
   * @param watermark of the task, ms.
   */
  onWatermark?(watermark: number): number;
  /** As `onWatermark`, by the wall clock and `wakeAtWallClock`. */
  onWallClock?(nowMs: number): number;
  /** A row of a declared table changed. */
  onTableChange?(topic: TopicName, key: string): void;
  /** Before the epoch ends: resolves when nothing is under way any more. Called in topological order. */
  drain?(): Promise<void>;
  /** The task has no more use for it: give up what is under way. */
  dispose?(): void;
  /** The epoch's last moment: forward what was gathered in it. Called in topological order, after `drain`. */
  endEpoch?(): void;
}

/** Where an operator's bytes go: one epoch's output. Synchronous, bounded by the epoch's limits. */
export interface EpochOutput {
  /** Partition of a topic for a key: murmur2, as the Java client's default partitioner. */
  partitionFor(topic: string, key: string): number;
  /** Partitions of a topic that the sub-topology writes. */
  partitionsOf(topic: string): number;
  append(
    topic: string,
    partition: number,
    key: string | Buffer | null,
    value: Buffer | null,
    timestampMs: number,
    headers?: Readonly<Record<string, string | Buffer>>,
  ): void;
  /** As `append`, with a value that is written in place. @throws what the writer throws. */
  appendWith(
    topic: string,
    partition: number,
    key: string | Buffer | null,
    timestampMs: number,
    headers: Readonly<Record<string, string | Buffer>> | undefined,
    writer: ValueWriter,
    value: unknown,
  ): void;
}

/** What an operator works with in its task. */
export interface OperatorContext {
  /** Name of the node. */
  readonly name: string;
  readonly partition: number;
  /** Of the node in this task, for what the task cannot count by itself. */
  readonly counters: StepCounters;
  /** Forwards to the main output. */
  readonly forward: Forward;
  /** The forwarder of a named output; undefined when nothing is connected to it. */
  output(name: string): Forward | undefined;
  /** A store that the node declared. */
  store<S>(spec: StoreSpec<S>): S;
  /** A table that the node declared. */
  table<T extends TopicName, R>(spec: TableSpec<T, R>): BroadcastTable<R>;
  readonly epoch: EpochOutput;
  /** Writes values of a topic of the map. */
  writer(topic: TopicName): ValueWriter;
  /** Wakes the operator by `onWatermark` once the task's watermark is at least `atMs`. */
  wakeAt(atMs: number): void;
  /** Wakes the operator by `onWallClock` once the clock is at least `atMs`. */
  wakeAtWallClock(atMs: number): void;
  /**
   * Watermark of the task: the minimum over its channels that are not idle, ms; -Infinity at first. While operators are
   * woken it is still the one before: what they forward is not late for those behind them.
   */
  watermark(): number;
  /** What the channel of the next output is known to have reached, and whether nothing moves: for repartition topics. */
  isIdle(): boolean;
  /** Whether records of this node can come to the step of that name. */
  leadsTo(step: string): boolean;
  /** ms since the epoch, of the task's clock. */
  now(): number;
  /** Work on a record that was put aside goes on: what is thrown is blamed on it. */
  resume(record: StreamRecord): void;
  /** Counts a record as of no interest. */
  drop(record: StreamRecord, reason: string): void;
  /** Sends the record's source to the DLQ in this epoch. */
  deadLetter(record: StreamRecord, error: ReachflowError, tenant?: string): void;
  /** Ends the epoch before the record's source and runs it again later. Does not return. */
  retryLater(record: StreamRecord, afterMs: number): never;
}

/** Makes the operator of one task. */
export type OperatorFactory = (context: OperatorContext) => Operator;
