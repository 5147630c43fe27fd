import type { StoreDescriptor } from './backend.ts';
import type { Table } from './table.ts';
import type { TableSpec } from './table-spec.ts';

/** Declares a store of a task. Its name is in changelogs and files: it must stay when the code changes. */
export interface StoreSpec<S> extends StoreDescriptor {
  /** For the task's state: the entries' table, and the store as a view of it. */
  bind(open: <V>(spec: TableSpec<V>) => Table<V>): S;
}

/** What every store can be given. */
export interface StoreOptions {
  /** Raise it when old values cannot be read any more: the store then starts empty. Default 1. */
  readonly version?: number;
}
