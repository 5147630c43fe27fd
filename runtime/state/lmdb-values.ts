import type { Database } from 'lmdb';
import { ReachflowError } from '../errors.ts';
import type { ByteKey, StoredEntry } from './backend.ts';
import { CHECKSUM_BYTES, checksum, isIntact, readKey, writeKey } from './lmdb-entry.ts';

/** A database of an environment. */
export type Bytes = Database<Buffer, ByteKey>;

/** Keys are strings of bytes, values buffers. */
export const DATABASE = { encoding: 'binary' as const, keyEncoder: { writeKey, readKey } };

/** Reads and writes the values of an environment's databases, each with its checksum. */
export class LmdbValues {
  /** Set when something could not be read: the file is checked whole when it is opened next. */
  damaged = false;
  readonly #dir: string;
  #scratch = Buffer.allocUnsafeSlow(4_096);

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Valid until the environment is used again. @throws ReachflowError `STATE_CORRUPT`. */
  get(database: Bytes, key: ByteKey): Buffer | undefined {
    let bytes: Buffer | undefined;
    try {
      bytes = database.getBinaryFast(key);
    } catch (error) {
      throw this.#corrupt(key, error);
    }
    if (bytes === undefined) return undefined;
    // Its length is that of the value, but its view is longer.
    const { length } = bytes;
    if (!isIntact(key, bytes, length)) throw this.#corrupt(key);
    return bytes.subarray(0, length - CHECKSUM_BYTES);
  }

  /** Up to `limit` entries. @throws ReachflowError `STATE_CORRUPT`. */
  range(database: Bytes, from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[] {
    const bounds = to === undefined ? {} : { end: to };
    try {
      const entries: StoredEntry[] = [];
      for (const { key, value } of database.getRange({ start: from, limit, ...bounds }))
        entries.push({ key, value: this.checked(key, value) });
      return entries;
    } catch (error) {
      throw this.damage(from, error);
    }
  }

  /** What to throw for whatever reading at or after a key threw: it says that the file is damaged. */
  damage(from: ByteKey, error: unknown): ReachflowError {
    return error instanceof ReachflowError ? error : this.#corrupt(from, error);
  }

  /** The value of bytes as they are stored. @throws ReachflowError `STATE_CORRUPT`. */
  checked(key: ByteKey, stored: Buffer): Buffer {
    if (!isIntact(key, stored, stored.length)) throw this.#corrupt(key);
    return stored.subarray(0, stored.length - CHECKSUM_BYTES);
  }

  /** Within a transaction. */
  put(database: Bytes, key: ByteKey, value: Buffer, start = 0, end = value.length): void {
    const length = end - start;
    if (length + CHECKSUM_BYTES > this.#scratch.length)
      this.#scratch = Buffer.allocUnsafeSlow(2 * (length + CHECKSUM_BYTES));
    value.copy(this.#scratch, 0, start, end);
    this.#scratch.writeUInt32LE(checksum(key, value, start, end), length);
    // Within a transaction, `put` has copied the bytes when it returns.
    void database.put(key, this.#scratch.subarray(0, length + CHECKSUM_BYTES));
  }

  #corrupt(key: ByteKey, cause?: unknown): ReachflowError {
    this.damaged = true;
    const where = JSON.stringify(key.slice(0, 40));
    const what = cause === undefined ? `the value of ${where}` : 'a page or block';
    return new ReachflowError(`${this.#dir}: ${what} at ${where} is damaged`, {
      code: 'STATE_CORRUPT',
      domain: 'external',
      hint: 'Close the state and open it again: it is then checked whole, and rebuilt.',
      cause,
    });
  }
}

interface Stats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
  readonly pageSize: number;
  readonly lastPageNumber: number;
}

/** Size of a database, and of its environment. */
export function statsOf(database: Bytes) {
  // Of the environment and the database; typed as {} by the library.
  const stats = database.getStats() as Stats;
  return {
    entries: stats.entryCount,
    pages: stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages,
    pageSize: stats.pageSize,
    lastPage: stats.lastPageNumber,
  };
}

/** An upper bound of what writing entries can add to the file, in bytes: each page is copied when it changes. */
export function mostBytesOf(database: Bytes, entries: number, bytes: number): number {
  const { pages, pageSize } = statsOf(database);
  // Pages that are there, once; those of new entries half full; and values of more than half a page in whole pages.
  return Math.min(pages, 2 * entries + 64) * pageSize + 4 * (bytes + 64 * entries);
}
