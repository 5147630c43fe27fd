import type { ByteKey, StoreChanges, StoredEntry, StoreSize } from './backend.ts';
import { FilterLanes } from './filter-lanes.ts';
import { hashOf } from './key-filter.ts';
import type { LmdbStore } from './lmdb-store.ts';
import { type Bytes, type LmdbValues, mostBytesOf, statsOf } from './lmdb-values.ts';
import type { Run } from './run.ts';
import { newRunName } from './run-name.ts';
import { Sealing } from './sealing.ts';
import { SealedSegment, type Segment, type SegmentRecord, TreeSegment } from './segment.ts';
import { type MoveCursor, movesOf } from './segment-moves.ts';
import { mergedRange } from './segment-range.ts';

/** Databases that a store has: for a segment that is written to, one that is being sealed, and one to begin. */
export const SEGMENT_SLOTS = 3;
/** Segments that a store can have; then the newest grows. */
const MAX_SEGMENTS = 128;
/** A segment is full when it has as many entries as it may: twice as many for a store that has so many of that size, … */
const SIZE_PARTS = 64;
/** … or when the horizon has moved so much of the TTL since it was opened. */
const TIME_PARTS = 4;
/** Keys read for filters after each batch, until they have all: some ms. */
const FILL_KEYS = 20_000;
/** Entries that are sealed with a batch: one in so many of a segment, beside some for each that the batch writes. */
const SEAL_PARTS = 64;
const SEALS_PER_CHANGE = 4;
/** Bytes that a page takes in the list of free pages, twice: the list is copied when it changes. */
const FREED_PAGE_BYTES = 16;
const TOMBSTONE = Buffer.alloc(0);
const EMPTY = { youngest: Number.NEGATIVE_INFINITY, opened: Number.NEGATIVE_INFINITY };

export interface SegmentedOptions {
  readonly ttlMs: number;
  /** A segment is full when it has so many entries. */
  readonly segmentEntries: number;
  readonly values: LmdbValues;
  /** Where runs are. */
  readonly dir: string;
  /** What `save` saved last. */
  readonly records: readonly SegmentRecord[] | undefined;
  /** Opens, or makes, the database of a slot. */
  readonly open: (slot: number) => Bytes;
  /** Within a transaction: keeps the list of segments; undefined forgets it. */
  readonly save: (records: readonly SegmentRecord[] | undefined) => void;
  /** Closes and removes a run that no list has any more. */
  readonly remove: (run: Run) => void;
}

/** What a batch does to the list of segments; it stands once the batch does. */
interface Plan {
  readonly segments: readonly Segment[];
  readonly newest: TreeSegment;
  /** No longer in the list: expired, or sealed. */
  readonly dropped: readonly Segment[];
  /** Entries of the oldest segment that go to the newest. */
  readonly moves: readonly StoredEntry[];
  readonly cursor: MoveCursor | undefined;
  youngest: number;
}

/**
 * A store whose entries expire, kept as a sequence of segments, so that writing costs the same however many entries
 * there are, and expiry next to nothing: new entries go to the newest segment, a tree that stays small. When it is full
 * it is written, little by little, into a run, which is a file. The oldest segment is dropped whole once its youngest
 * entry has expired. A key's newest copy counts; one that deletes it is a tombstone (an empty value), written only where
 * an older segment may have the key. Segments go in order of age only: otherwise an older copy would come back.
 */
export class SegmentedStore implements LmdbStore {
  readonly #options: SegmentedOptions;
  readonly #values: LmdbValues;
  /** From the oldest to the newest, which is the one that is written to: runs, maybe one being sealed, the newest. */
  #segments: readonly Segment[] = [];
  /** The runs' filters. */
  readonly #lanes = new FilterLanes();
  #sealing: Sealing | undefined;
  #plan: Plan | undefined;
  #cursor: MoveCursor | undefined;

  /** @throws DamagedFile when a run cannot be used. */
  constructor(options: SegmentedOptions) {
    this.#options = options;
    this.#values = options.values;
    try {
      const { records = [] } = options;
      for (const record of records) this.#segments = [...this.#segments, this.#reopen(record)];
      if (records.length === 0) this.#segments = [this.#openTree(0)];
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #reopen({ place, youngest, opened }: SegmentRecord): Segment {
    const times = { youngest: Number(youngest), opened: Number(opened) };
    if (typeof place === 'number') return this.#openTree(place, times);
    const { dir } = this.#options;
    return SealedSegment.open({ dir, name: place }, this.#lanes, this.#values, times);
  }

  #openTree(slot: number, times = EMPTY): TreeSegment {
    return new TreeSegment(this.#options.open(slot), this.#values, slot, times);
  }

  get runs(): readonly Run[] {
    return this.#segments.flatMap((segment) =>
      segment instanceof SealedSegment ? [segment.run] : [],
    );
  }

  get(key: ByteKey): Buffer | undefined {
    const value = this.#find(key);
    return value === undefined || value.length === 0 ? undefined : value;
  }

  /** The newest copy of a key: an empty value says that it is deleted. */
  #find(key: ByteKey): Buffer | undefined {
    const hash = hashOf(key);
    const lanes = this.#lanes.find(hash);
    for (let index = this.#segments.length - 1; index >= 0; index -= 1) {
      const segment = this.#segments[index] as Segment;
      if (segment instanceof SealedSegment) {
        // So are all that are older.
        if (lanes.length === 0) return undefined;
        if (!lanes.includes(segment.lane)) continue;
      } else if (!segment.mayHave(hash)) continue;
      const value = segment.get(key);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  range(from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[] {
    return mergedRange(this.#segments.toReversed(), { from, to, limit });
  }

  prepare({ changes, horizon = Number.NEGATIVE_INFINITY }: StoreChanges): number {
    const plan = this.#planFor(horizon, changes.length);
    this.#plan = plan;
    let bytes = 0;
    for (const { key, start, end } of changes) bytes += key.length + end - start;
    for (const { key, value } of plan.moves) bytes += key.length + value.length;
    let most = mostBytesOf(plan.newest.database, changes.length + plan.moves.length, bytes);
    for (const segment of plan.dropped)
      if (segment instanceof TreeSegment)
        most += statsOf(segment.database).pages * FREED_PAGE_BYTES;
    return most;
  }

  #planFor(horizon: number, changes: number): Plan {
    const segments = [...this.#segments];
    const dropped: Segment[] = [];
    const { segmentEntries } = this.#options;
    const step = segmentEntries / SEAL_PARTS + SEALS_PER_CHANGE * changes;
    this.#seal(segments, dropped, (sealing) => sealing.advance(step));
    if (this.#isFull(newestOf(segments), horizon) && segments.length < MAX_SEGMENTS) {
      this.#seal(segments, dropped, (sealing) => sealing.finish());
      segments.push(this.#openTree(freeSlot(this.#segments), { ...EMPTY, opened: horizon }));
    }
    for (let oldest = segments[0]; oldest !== undefined; oldest = segments[0]) {
      if (segments.length < 2 || !this.#isExpired(oldest.youngest, horizon)) break;
      dropped.push(oldest);
      segments.shift();
    }
    const { moves, cursor, through } = movesOf(segments, this.#cursor, {
      changes,
      isExpired: (at) => this.#isExpired(at, horizon),
    });
    if (through) dropped.push(...segments.splice(0, 1));
    const newest = newestOf(segments);
    return { segments, newest, dropped, moves, cursor, youngest: newest.youngest };
  }

  /** Goes on with sealing the segment before the newest, if that is no run yet; in its place, once it is through. */
  #seal(segments: Segment[], dropped: Segment[], work: (sealing: Sealing) => void): void {
    const index = segments.length - 2;
    const segment = segments[index];
    if (!(segment instanceof TreeSegment)) return;
    try {
      if (this.#sealing?.segment !== segment) {
        this.#sealing?.abandon();
        this.#sealing = undefined;
        const { dir } = this.#options;
        const place = { dir, name: newRunName() };
        this.#sealing = new Sealing(segment, this.#values, place, this.#lanes);
      }
      work(this.#sealing);
    } catch (error) {
      this.#abandonSealing();
      throw error;
    }
    const { sealed } = this.#sealing;
    if (sealed === undefined) return;
    segments[index] = sealed;
    dropped.push(segment);
  }

  #abandonSealing(): void {
    this.#sealing?.abandon();
    this.#sealing = undefined;
  }

  #isFull(newest: TreeSegment, horizon: number): boolean {
    const { entries } = newest.size();
    if (entries === 0 || newest.opened === Number.NEGATIVE_INFINITY) newest.opened = horizon;
    if (entries === 0) return false;
    const { ttlMs, segmentEntries } = this.#options;
    if (horizon - newest.opened >= ttlMs / TIME_PARTS) return true;
    if (entries < segmentEntries) return false;
    // Doubled, as filters of one length are looked at together.
    const parts = this.size().entries / segmentEntries / SIZE_PARTS;
    return parts <= 1 || entries >= segmentEntries * 2 ** Math.ceil(Math.log2(parts));
  }

  #isExpired(at: number, horizon: number): boolean {
    return at + this.#options.ttlMs <= horizon;
  }

  write({ changes }: StoreChanges): void {
    const plan = this.#plan;
    if (plan === undefined) throw new Error('write before prepare');
    for (const segment of plan.dropped)
      if (segment instanceof TreeSegment) segment.database.clearSync();
    // Before the batch's own changes, which are newer.
    for (const { key, value } of plan.moves) this.#put(plan, key, value, 0, value.length);
    for (const { key, deleted, bytes, start, end } of changes) {
      if (deleted || bytes === undefined) this.#delete(plan, key);
      else this.#put(plan, key, bytes, start, end);
    }
    this.#options.save(plan.segments.map((segment) => recordOf(segment, plan)));
  }

  #put(plan: Plan, key: ByteKey, bytes: Buffer, start: number, end: number): void {
    this.#values.put(plan.newest.database, key, bytes, start, end);
    plan.newest.add(hashOf(key));
    plan.youngest = Math.max(plan.youngest, bytes.readDoubleBE(start));
  }

  #delete({ segments, newest }: Plan, key: ByteKey): void {
    const hash = hashOf(key);
    const lanes = this.#lanes.find(hash);
    for (const segment of segments) {
      if (segment === newest) continue;
      const mayHave =
        segment instanceof SealedSegment ? lanes.includes(segment.lane) : segment.mayHave(hash);
      if (!mayHave) continue;
      this.#values.put(newest.database, key, TOMBSTONE);
      newest.add(hash);
      return;
    }
    if (newest.mayHave(hash)) void newest.database.remove(key);
  }

  written(): void {
    const plan = this.#plan;
    if (plan === undefined) return;
    this.#plan = undefined;
    this.#segments = plan.segments;
    this.#cursor = plan.cursor;
    plan.newest.youngest = plan.youngest;
    for (const segment of plan.dropped) this.#release(segment);
    for (const segment of plan.segments)
      if (segment instanceof TreeSegment) segment.fill(FILL_KEYS);
  }

  /** A segment that is in no list any more. */
  #release(segment: Segment): void {
    if (segment instanceof SealedSegment) {
      segment.lane.release();
      this.#options.remove(segment.run);
    } else if (this.#sealing?.segment === segment) {
      const { sealed } = this.#sealing;
      // What it was sealed into may have expired with the same batch: it was released as a run then.
      if (sealed === undefined) this.#sealing.abandon();
      this.#sealing = undefined;
    }
  }

  size(): StoreSize {
    let entries = 0;
    let bytes = 0;
    for (const segment of this.#segments) {
      const size = segment.size();
      entries += size.entries;
      bytes += size.bytes;
    }
    return { entries, bytes };
  }

  clear(): void {
    for (const segment of this.#segments)
      if (segment instanceof TreeSegment) segment.database.clearSync();
    this.#options.save(undefined);
  }

  cleared(): void {
    this.#plan = undefined;
    this.#cursor = undefined;
    this.#abandonSealing();
    for (const segment of this.#segments)
      if (segment instanceof SealedSegment) this.#release(segment);
    this.#segments = [this.#openTree(0)];
  }

  close(): void {
    this.#abandonSealing();
    for (const run of this.runs) run.close();
  }
}

function newestOf(segments: readonly Segment[]): TreeSegment {
  return segments[segments.length - 1] as TreeSegment;
}

/** Not that of a segment which the same batch clears: it has its entries until then. */
function freeSlot(segments: readonly Segment[]): number {
  const used = new Set(segments.map(({ place }) => place));
  let slot = 0;
  while (used.has(slot)) slot += 1;
  return slot;
}

function recordOf(segment: Segment, { newest, youngest: newestYoungest }: Plan): SegmentRecord {
  const { place, opened } = segment;
  const youngest = segment === newest ? newestYoungest : segment.youngest;
  return { place, youngest: String(youngest), opened: String(opened) };
}
