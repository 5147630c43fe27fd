import { join } from 'node:path';
import type { ByteKey, StoredEntry, StoreSize } from './backend.ts';
import type { FilterLanes, Lane } from './filter-lanes.ts';
import { HashSet } from './hash-set.ts';
import { hashOf } from './key-filter.ts';
import { successor } from './keys.ts';
import { type Bytes, type LmdbValues, statsOf } from './lmdb-values.ts';
import { Run } from './run.ts';

/** What an environment knows of a segment, beside its entries. */
export interface SegmentRecord {
  /** Which of the store's databases it is in, or the file that it is. */
  readonly place: number | string;
  /** As of `SegmentTimes`, as text: JSON has no infinity. */
  readonly youngest: string;
  readonly opened: string;
}

export interface SegmentTimes {
  /** Greatest event time of its entries, ms; -Infinity when it has none but deleted ones. */
  readonly youngest: number;
  /** The horizon when its first entry came, ms. */
  readonly opened: number;
}

/** Some of an expiring store's entries, of one stretch of time. An empty value says that the key is deleted. */
export interface Segment extends SegmentTimes {
  readonly place: number | string;
  size(): StoreSize;
  /** False only for keys that it does not have. */
  mayHave(hash: number): boolean;
  /** Valid until the environment is used again. @throws ReachflowError `STATE_CORRUPT`. */
  get(key: ByteKey): Buffer | undefined;
  /** Entries with `from` <= key < `to`, in order. @throws ReachflowError `STATE_CORRUPT`. */
  range(from: ByteKey, to: ByteKey | undefined): Iterable<StoredEntry>;
}

/** A segment that is, or was until lately, written to: a database, and its keys' hashes. */
export class TreeSegment implements Segment {
  readonly place: number;
  readonly database: Bytes;
  youngest: number;
  opened: number;
  readonly #values: LmdbValues;
  readonly #hashes = new HashSet();
  #complete = false;
  #next: ByteKey = '';

  constructor(database: Bytes, values: LmdbValues, slot: number, times: SegmentTimes) {
    this.place = slot;
    this.database = database;
    this.#values = values;
    this.youngest = times.youngest;
    this.opened = times.opened;
    // An empty one has all its keys.
    this.fill(1);
  }

  size(): StoreSize {
    const { entries, pages, pageSize } = statsOf(this.database);
    return { entries, bytes: pages * pageSize };
  }

  mayHave(hash: number): boolean {
    return !this.#complete || this.#hashes.has(hash);
  }

  get(key: ByteKey): Buffer | undefined {
    return this.#values.get(this.database, key);
  }

  *range(from: ByteKey, to: ByteKey | undefined): Generator<StoredEntry, void, undefined> {
    const bounds = to === undefined ? { start: from } : { start: from, end: to };
    try {
      for (const { key, value } of this.database.getRange(bounds))
        yield { key, value: this.#values.checked(key, value) };
    } catch (error) {
      throw this.#values.damage(from, error);
    }
  }

  /** Notes a key that is written to it. */
  add(hash: number): void {
    this.#hashes.add(hash);
  }

  /** Reads the hashes of up to `limit` more keys, outside of transactions. */
  fill(limit: number): void {
    if (this.#complete) return;
    let read = 0;
    for (const key of this.database.getKeys({ start: this.#next, limit })) {
      this.#hashes.add(hashOf(key));
      this.#next = successor(key);
      read += 1;
    }
    this.#complete = read < limit;
  }
}

/** Where the file of a run is. */
export interface RunPlace {
  readonly dir: string;
  readonly name: string;
}

/** A segment that gets no more entries: a run. */
export class SealedSegment implements Segment {
  readonly place: string;
  readonly run: Run;
  /** Where its filter is. */
  readonly lane: Lane;
  readonly youngest: number;
  readonly opened: number;
  readonly #values: LmdbValues;

  private constructor(run: Run, lane: Lane, values: LmdbValues, times: SegmentTimes) {
    const { youngest, opened } = times;
    this.place = run.name;
    this.run = run;
    this.lane = lane;
    this.#values = values;
    this.youngest = youngest;
    this.opened = opened;
  }

  /** @throws DamagedFile when the run cannot be used, or what the file system throws. */
  static open(
    { dir, name }: RunPlace,
    lanes: FilterLanes,
    values: LmdbValues,
    times: SegmentTimes,
  ): SealedSegment {
    const run = Run.open(join(dir, name), name);
    try {
      return new SealedSegment(run, lanes.add(run.readFilter()), values, times);
    } catch (error) {
      run.close();
      throw error;
    }
  }

  size(): StoreSize {
    return this.run;
  }

  mayHave(hash: number): boolean {
    return this.lane.mayHave(hash);
  }

  get(key: ByteKey): Buffer | undefined {
    try {
      return this.run.get(key);
    } catch (error) {
      throw this.#values.damage(key, error);
    }
  }

  *range(from: ByteKey, to: ByteKey | undefined): Generator<StoredEntry, void, undefined> {
    try {
      yield* this.run.range(from, to);
    } catch (error) {
      throw this.#values.damage(from, error);
    }
  }
}
