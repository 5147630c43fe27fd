import type { Database } from 'lmdb';
import type { ByteKey } from './backend.ts';
import { KeyFilter } from './key-filter.ts';
import { successor } from './keys.ts';

/** Keys read for the filter after each batch: a few ms. */
const FILL_KEYS = 10_000;
/** A filter is made anew when it has so many more keys than the store: most of them are gone. */
const STALE_FACTOR = 2;
const STALE_KEYS = 100_000;

/**
 * One store of an environment, with a filter of its keys: most gets of a deduplication are for keys that are not there,
 * which LMDB would have to look for. The filter is filled little by little, as a large store must open quickly.
 */
export class FilteredStore {
  readonly database: Database<Buffer, ByteKey>;
  /** Has each key that is written from now on. */
  readonly filter = new KeyFilter();
  /** Whether the filter has all keys of the store. */
  complete = false;
  #next: ByteKey = '';

  constructor(database: Database<Buffer, ByteKey>) {
    this.database = database;
    this.fill();
  }

  /** Reads some more keys for the filter, outside of transactions. */
  fill(): void {
    if (this.complete) {
      this.#checkStale();
      return;
    }
    let read = 0;
    for (const key of this.database.getKeys({ start: this.#next, limit: FILL_KEYS })) {
      this.filter.add(key);
      this.#next = successor(key);
      read += 1;
    }
    this.complete = read < FILL_KEYS;
  }

  #checkStale(): void {
    if (this.filter.keys < STALE_KEYS) return;
    const { entryCount } = this.database.getStats() as { readonly entryCount: number };
    if (this.filter.keys > STALE_FACTOR * entryCount + STALE_KEYS) this.restart();
  }

  /** Begins the filter anew. */
  restart(): void {
    this.filter.clear();
    this.complete = false;
    this.#next = '';
  }
}
