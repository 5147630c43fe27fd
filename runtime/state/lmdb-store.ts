import type { ByteKey, StoreChanges, StoredEntry, StoreSize } from './backend.ts';
import type { Run } from './run.ts';

/** How one store is kept in an LMDB environment. A batch calls `prepare`, `write` in its transaction, and `written`. */
export interface LmdbStore {
  /** Files beside the environment that the last batch left. */
  readonly runs: readonly Run[];
  /** As of `StateBackend`. */
  get(key: ByteKey): Buffer | undefined;
  /** As of `StateBackend`. */
  range(from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[];
  /**
   * Before the transaction of a batch, of which it may come to nothing.
   * @returns an upper bound of what the batch can add to the file, in bytes.
   */
  prepare(changes: StoreChanges): number;
  /** Within the transaction. What it leaves in memory must be right when the transaction fails, too. */
  write(changes: StoreChanges): void;
  /** The batch stands. */
  written(): void;
  size(): StoreSize;
  /** Within a transaction: removes all entries. */
  clear(): void;
  /** The removal stands. */
  cleared(): void;
  /** Lets go of its files. */
  close(): void;
}
