import type { ByteKey, StoreChanges, StoredEntry, StoreSize } from './backend.ts';
import { KeyFilter } from './key-filter.ts';
import { successor } from './keys.ts';
import type { LmdbStore } from './lmdb-store.ts';
import { type Bytes, type LmdbValues, mostBytesOf, statsOf } from './lmdb-values.ts';

/** Keys read for the filter after each batch: a few ms. */
const FILL_KEYS = 10_000;
/** A filter is made anew when it has so many more keys than the store: most of them are gone. */
const STALE_FACTOR = 2;
const STALE_KEYS = 100_000;

/**
 * A store in one database, with a filter of its keys: many gets are for keys that are not there, which LMDB would have
 * to look for. The filter is filled little by little, as a large store must open quickly.
 */
export class FilteredStore implements LmdbStore {
  readonly runs = [];
  readonly #database: Bytes;
  readonly #values: LmdbValues;
  /** Has each key that is written from now on. */
  readonly #filter = new KeyFilter();
  /** Whether the filter has all keys of the store. */
  #complete = false;
  #next: ByteKey = '';

  constructor(database: Bytes, values: LmdbValues) {
    this.#database = database;
    this.#values = values;
    this.#fill();
  }

  get(key: ByteKey): Buffer | undefined {
    if (this.#complete && !this.#filter.mayHave(key)) return undefined;
    return this.#values.get(this.#database, key);
  }

  range(from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[] {
    return this.#values.range(this.#database, from, to, limit);
  }

  prepare({ changes }: StoreChanges): number {
    let bytes = 0;
    for (const { key, start, end } of changes) bytes += key.length + end - start;
    return mostBytesOf(this.#database, changes.length, bytes);
  }

  write({ changes }: StoreChanges): void {
    for (const { key, deleted, bytes, start, end } of changes) {
      if (deleted || bytes === undefined) {
        void this.#database.remove(key);
      } else {
        this.#values.put(this.#database, key, bytes, start, end);
        this.#filter.add(key);
      }
    }
  }

  written(): void {
    this.#fill();
  }

  size(): StoreSize {
    const { entries, pages, pageSize } = statsOf(this.#database);
    return { entries, bytes: pages * pageSize };
  }

  clear(): void {
    this.#database.clearSync();
  }

  cleared(): void {
    this.#restart();
  }

  close(): void {
    // Its database is the environment's.
  }

  /** Reads some more keys for the filter, outside of transactions. */
  #fill(): void {
    if (this.#complete) {
      this.#checkStale();
      return;
    }
    let read = 0;
    for (const key of this.#database.getKeys({ start: this.#next, limit: FILL_KEYS })) {
      this.#filter.add(key);
      this.#next = successor(key);
      read += 1;
    }
    this.#complete = read < FILL_KEYS;
  }

  #checkStale(): void {
    if (this.#filter.keys < STALE_KEYS) return;
    const { entries } = statsOf(this.#database);
    if (this.#filter.keys > STALE_FACTOR * entries + STALE_KEYS) this.#restart();
  }

  /** Begins the filter anew. */
  #restart(): void {
    this.#filter.clear();
    this.#complete = false;
    this.#next = '';
  }
}
