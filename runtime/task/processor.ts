import type { TopicName, TopicValue } from '../../schemas/topics.ts';
import type { ReachflowError } from '../errors.ts';
import type { BroadcastTable, TableSpec } from '../state/broadcast-table.ts';
import type { Store, StoreSpec } from '../state/store.ts';

/**
 * What a processor says of a record. A throw is a bug: it stops the task, with the record's position.
 * - `ok`: handled, whatever it emitted;
 * - `drop`: of no interest, counted under `reason`;
 * - `dlq`: cannot be handled, goes to `<topic>.<pipeline>.dlq` in the same transaction.
 */
export type Outcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'drop'; readonly reason: string }
  | { readonly kind: 'dlq'; readonly error: ReachflowError; readonly tenant?: string };

/** The shared `ok` value. */
export const OK: Outcome = { kind: 'ok' };

/** A decoded input record. */
export interface InputRecord<T extends TopicName> {
  readonly key: string;
  /** Null is a tombstone. */
  readonly value: TopicValue<T> | null;
  /** Kafka record timestamp, ms since the epoch. */
  readonly timestamp: number;
  readonly partition: number;
  readonly offset: bigint;
}

export interface EmitOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** ms since the epoch; the input record's when absent. */
  readonly timestamp?: number;
}

/** What a processor works with; everything emitted and stored commits with the input's offset, or not at all. */
export interface TaskContext {
  readonly partition: number;
  store<V>(spec: StoreSpec<V>): Store<V>;
  table<T extends TopicName, R>(spec: TableSpec<T, R>): BroadcastTable<R>;
  /** Writes a record to one of the declared outputs; a null value is a tombstone. */
  emit<O extends TopicName>(
    topic: O,
    key: string,
    value: TopicValue<O> | null,
    options?: EmitOptions,
  ): void;
}

/** The code of one task. */
export interface Processor<T extends TopicName> {
  process(record: InputRecord<T>): Outcome;
  /** Before each commit: emit what was combined during the epoch. */
  endEpoch?(): void;
  /** Once the state is restored and before the first record, with the tables read to their end. */
  onStart?(): void;
  /** A row of a broadcast table changed. Runs in an epoch of its own. */
  onTableChange?(topic: TopicName, key: string): void;
}

/** Declares a processor: one task per partition of its input. The name is in its group, ids and changelog. */
export interface ProcessorSpec<T extends TopicName = TopicName> {
  readonly name: string;
  readonly input: T;
  readonly outputs: readonly TopicName[];
  readonly stores: readonly StoreSpec<unknown>[];
  readonly tables: readonly TableSpec<TopicName, unknown>[];
  create(context: TaskContext): Processor<T>;
}

/** A pipeline: processors that are deployed together. */
export interface PipelineSpec {
  /** In the names of groups, changelogs, transactional ids and DLQs: it must stay. */
  readonly name: string;
  readonly processors: readonly ProcessorSpec[];
}

/** Declares a processor, its input's type checked. */
export function defineProcessor<T extends TopicName>(
  spec: Omit<ProcessorSpec<T>, 'stores' | 'tables'> &
    Partial<Pick<ProcessorSpec<T>, 'stores' | 'tables'>>,
): ProcessorSpec {
  return { stores: [], tables: [], ...spec };
}
