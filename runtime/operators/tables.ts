import type { TopicName } from '../../schemas/topics.ts';
import type { TableSpec } from '../state/broadcast-table.ts';
import {
  type KeyValueStore,
  keyValueStore,
  type Serde,
  type StoreSpec,
} from '../state/contract.ts';
import type { Operator, OperatorFactory } from '../topology/operator.ts';
import { derive } from '../topology/record.ts';

export type RowStore = StoreSpec<KeyValueStore<unknown>>;

export function rowStore(name: string, serde: Serde<unknown>): RowStore {
  return keyValueStore<unknown>(name, serde);
}

/** Keeps the newest value of each key and forwards every change; null deletes. */
export function tableOperator(rows: RowStore): OperatorFactory {
  return (context): Operator => {
    const store = context.store(rows);
    return {
      process(record) {
        if (record.value === null) store.delete(record.key);
        else store.set(record.key, record.value);
        context.forward(record);
      },
    };
  };
}

type Joiner = (left: never, right: never, key: never) => unknown;

/** Input 0 is the stream; input 1, the table, only has to be in the same task. */
export function streamTableJoinOperator(
  rows: RowStore,
  joiner: Joiner,
  kind: 'inner' | 'left',
): OperatorFactory {
  const join = joiner as (left: unknown, right: unknown, key: string) => unknown;
  return (context): Operator => {
    const store = context.store(rows);
    return {
      process(record, input) {
        if (input !== 0) return;
        const row = store.get(record.key);
        if (row === undefined && kind === 'inner') return context.drop(record, 'no row');
        context.forward(derive(record, join(record.value, row, record.key)));
      },
    };
  };
}

/** A change of either table makes the joined row anew; what is forwarded is a table's changes. */
export function tableTableJoinOperator(
  left: RowStore,
  right: RowStore,
  joined: RowStore,
  joiner: Joiner,
): OperatorFactory {
  const join = joiner as (left: unknown, right: unknown, key: string) => unknown;
  return (context): Operator => {
    const [lefts, rights, rows] = [left, right, joined].map((spec) => context.store(spec));
    if (lefts === undefined || rights === undefined || rows === undefined)
      throw new Error('stores');
    return {
      process(record) {
        const { key } = record;
        const l = lefts.get(key);
        const r = rights.get(key);
        if (l === undefined || r === undefined) {
          if (rows.get(key) === undefined) return;
          rows.delete(key);
          return context.forward(derive(record, null));
        }
        const row = join(l, r, key);
        rows.set(key, row);
        context.forward(derive(record, row));
      },
    };
  };
}

/** Joins with a table that each process holds whole. */
export function globalJoinOperator(
  spec: TableSpec<TopicName, unknown>,
  key: (value: never) => string | null,
  joiner: (value: never, row: never) => unknown,
): OperatorFactory {
  const keyOf = key as (value: unknown) => string | null;
  const join = joiner as (value: unknown, row: unknown) => unknown;
  return (context): Operator => {
    const table = context.table(spec);
    return {
      process(record) {
        const rowKey = keyOf(record.value);
        const row = rowKey === null ? undefined : table.get(rowKey);
        context.forward(derive(record, join(record.value, row)));
      },
    };
  };
}
