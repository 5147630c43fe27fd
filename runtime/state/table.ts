import type { ByteKey, Change, StateBackend, StoredEntry } from './backend.ts';
import type { Placed, SegmentWriter } from './changelog.ts';
import { checkKeyLength, successor } from './keys.ts';
import { RecentValues } from './recent-values.ts';
import type { Serde } from './serde.ts';
import { type SortedTree, sortedTree } from './sorted-tree.ts';
import type { TableSpec } from './table-spec.ts';

/** What an iteration yields; valid until its next step. */
export interface TableEntry<V> {
  readonly key: ByteKey;
  readonly value: V;
  /** Event time of the write, ms; 0 in tables that do not expire. */
  readonly at: number;
}

/** An entry that the backend has not got yet, newest of its key. */
class Entry<V> implements Placed {
  readonly key: ByteKey;
  readonly epoch: number;
  value: V | undefined = undefined;
  at = 0;
  deleted = false;
  bytes: Buffer | undefined = undefined;
  start = 0;
  end = 0;
  /** What the key was before this entry's epoch, if that is not in the backend either. */
  prior: Entry<V> | undefined;

  constructor(key: ByteKey, epoch: number, prior: Entry<V> | undefined) {
    this.key = key;
    this.epoch = epoch;
    this.prior = prior;
  }
}

const DECODED = 2_048;
/** Entries read from the backend at a time: few at first, since many iterations end early. */
const FIRST_CHUNK = 16;
const MAX_CHUNK = 512;
const AT_BYTES = 8;

/**
 * The entries of one store: a write-back overlay over the backend. It knows three kinds of entries: of the current
 * epoch, of epochs whose commit is under way, and committed ones that were not flushed yet. `TaskState` leads it
 * through epochs; stores read and write it.
 *
 * Values that were given to it or came from it must not be changed: put a new one.
 */
export class Table<V> {
  readonly index: number;
  readonly spec: TableSpec<V>;
  /** Entries that expired by this event time (ms) are not there any more; set by housekeeping. */
  horizon = Number.NEGATIVE_INFINITY;
  readonly #serde: Serde<V>;
  readonly #timed: boolean;
  readonly #backend: StateBackend;
  readonly #overlay = new Map<ByteKey, Entry<V>>();
  /** Keys of the overlay in order, from the first iteration until the next flush. */
  #order: SortedTree<undefined> | undefined;
  #epoch = 1;
  #committedEpoch = 0;
  #dirty: Entry<V>[] = [];
  readonly #inFlight: Entry<V>[][] = [];
  readonly #recent: RecentValues<V> | undefined;
  #flushes = 0;

  constructor(index: number, spec: TableSpec<V>, backend: StateBackend) {
    this.index = index;
    this.spec = spec;
    this.#serde = spec.serde;
    this.#timed = spec.expiry !== undefined;
    this.#backend = backend;
    this.#recent = spec.cached ? new RecentValues<V>(DECODED) : undefined;
  }

  /** Entries changed in the current epoch. */
  get changed(): number {
    return this.#dirty.length;
  }

  /** Entries that are not in the backend. */
  get pending(): number {
    return this.#overlay.size;
  }

  get(key: ByteKey): V | undefined {
    const entry = this.#overlay.get(key);
    if (entry !== undefined) return entry.deleted ? undefined : this.#valueOf(entry);
    const recent = this.#recent?.get(key);
    if (recent !== undefined) return recent;
    const bytes = this.#backend.get(this.index, key);
    if (bytes === undefined) return undefined;
    const value = this.#serde.decode(this.#timed ? bytes.subarray(AT_BYTES) : bytes);
    this.#recent?.set(key, value);
    return value;
  }

  /** Event time of a key's write, ms; NaN when it is not there. For tables that expire. */
  timeOf(key: ByteKey): number {
    const entry = this.#overlay.get(key);
    if (entry !== undefined) return entry.deleted ? Number.NaN : entry.at;
    const bytes = this.#backend.get(this.index, key);
    return bytes === undefined ? Number.NaN : bytes.readDoubleBE(0);
  }

  /** @param at event time, ms, in tables that expire. @throws ReachflowError `STATE_KEY_TOO_LONG`. */
  set(key: ByteKey, value: V, at: number): void {
    const entry = this.#own(key);
    entry.value = value;
    entry.at = at;
    entry.deleted = false;
  }

  delete(key: ByteKey): void {
    const entry = this.#own(key);
    entry.value = undefined;
    entry.deleted = true;
  }

  /** The key's entry of the current epoch. */
  #own(key: ByteKey): Entry<V> {
    const known = this.#overlay.get(key);
    if (known !== undefined && known.epoch === this.#epoch) return known;
    if (known === undefined) checkKeyLength(key, this.spec.name);
    const entry = new Entry<V>(key, this.#epoch, known);
    this.#overlay.set(key, entry);
    if (known === undefined) this.#order?.set(key, undefined);
    this.#dirty.push(entry);
    return entry;
  }

  #valueOf(entry: Entry<V>): V {
    if (entry.value === undefined && entry.bytes !== undefined) {
      const start = this.#timed ? entry.start + AT_BYTES : entry.start;
      entry.value = this.#serde.decode(entry.bytes.subarray(start, entry.end));
    }
    return entry.value as V;
  }

  /** What a key's value is as of the last committed epoch. */
  committedValue(key: ByteKey): V | undefined {
    const entry = this.#committedOf(this.#overlay.get(key));
    if (entry !== undefined) return entry.deleted ? undefined : this.#valueOf(entry);
    const bytes = this.#backend.get(this.index, key);
    return bytes === undefined ? undefined : this.#serde.decode(bytes);
  }

  #committedOf(newest: Entry<V> | undefined): Entry<V> | undefined {
    let entry = newest;
    while (entry !== undefined && entry.epoch > this.#committedEpoch) entry = entry.prior;
    return entry;
  }

  /** Whether the current epoch writes this key. */
  isChanged(key: ByteKey): boolean {
    return this.#overlay.get(key)?.epoch === this.#epoch;
  }

  /**
   * Entries with `from` <= key < `to`, in order, as they are at each step: what is set or deleted ahead of the
   * iteration is seen, what is set behind it is not.
   */
  *iterate(from: ByteKey, to: ByteKey | undefined): Generator<TableEntry<V>, void, undefined> {
    for (const entry of this.#merged(from, to)) {
      if (entry instanceof Entry) {
        yield { key: entry.key, value: this.#valueOf(entry), at: entry.at };
      } else if (this.#timed) {
        const value = this.#serde.decode(entry.value.subarray(AT_BYTES));
        yield { key: entry.key, value, at: entry.value.readDoubleBE(0) };
      } else {
        yield { key: entry.key, value: this.#serde.decode(entry.value), at: 0 };
      }
    }
  }

  /** As `iterate`, with the bytes of values; entries of the current epoch, which have none yet, are passed over. */
  *iterateBytes(from: ByteKey): Generator<StoredEntry, void, undefined> {
    for (const entry of this.#merged(from, undefined)) {
      if (!(entry instanceof Entry)) yield entry;
      else if (entry.bytes !== undefined && entry.epoch !== this.#epoch)
        yield { key: entry.key, value: entry.bytes.subarray(entry.start, entry.end) };
    }
  }

  *#merged(
    from: ByteKey,
    to: ByteKey | undefined,
  ): Generator<StoredEntry | Entry<V>, void, undefined> {
    let next = from;
    let size = FIRST_CHUNK;
    let flushes = this.#flushes;
    let chunk = this.#backend.range(this.index, next, to, size);
    let at = 0;
    for (;;) {
      const used = at >= chunk.length && chunk.length === size;
      if (used || flushes !== this.#flushes) {
        if (used) size = Math.min(2 * size, MAX_CHUNK);
        flushes = this.#flushes;
        chunk = this.#backend.range(this.index, next, to, size);
        at = 0;
      }
      const stored = chunk[at];
      const pending = this.#pendingFrom(next, to);
      if (pending === undefined || (stored !== undefined && stored.key < pending.key)) {
        if (stored === undefined) return;
        at += 1;
        next = successor(stored.key);
        yield stored;
      } else {
        if (stored?.key === pending.key) at += 1;
        next = successor(pending.key);
        if (!pending.deleted) yield pending;
      }
    }
  }

  #pendingFrom(from: ByteKey, to: ByteKey | undefined): Entry<V> | undefined {
    if (this.#overlay.size === 0) return undefined;
    this.#order ??= orderOf(this.#overlay.keys());
    const key = this.#order.getPairOrNextHigher(from)?.[0];
    if (key === undefined || (to !== undefined && key >= to)) return undefined;
    return this.#overlay.get(key);
  }

  /** Writes the current epoch's changes and begins another. @throws ReachflowError `STATE_VALUE_TOO_LARGE`. */
  encode(writer: SegmentWriter): void {
    for (const entry of this.#dirty) {
      if (entry.deleted) writer.reserve(this.index, entry.key, -1, entry);
      else this.#write(writer, entry);
    }
  }

  #write(writer: SegmentWriter, entry: Entry<V>): void {
    const before = this.#timed ? AT_BYTES : 0;
    const { fixed } = this.#serde;
    const value = entry.value as V;
    if (fixed === undefined) {
      const bytes = this.#serde.encode(value);
      const at = writer.reserve(this.index, entry.key, before + bytes.length, entry);
      if (this.#timed) writer.buffer.writeDoubleBE(entry.at, at);
      bytes.copy(writer.buffer, at + before);
      return;
    }
    const at = writer.reserve(this.index, entry.key, before + fixed.bytes, entry);
    if (this.#timed) writer.buffer.writeDoubleBE(entry.at, at);
    fixed.write(value, writer.buffer, at + before);
  }

  /** Writes an entry that did not change, for housekeeping. */
  rewrite(writer: SegmentWriter, key: ByteKey, value: Buffer): void {
    const at = writer.reserve(this.index, key, value.length, undefined);
    value.copy(writer.buffer, at);
  }

  /** The epoch's changes are on their way; what is written from now on belongs to `epoch`. */
  endEpoch(epoch: number): void {
    this.#inFlight.push(this.#dirty);
    this.#dirty = [];
    this.#epoch = epoch;
  }

  /** The oldest epoch on its way is committed. */
  committed(epoch: number): void {
    const entries = this.#inFlight.shift() ?? [];
    for (const entry of entries) entry.prior = undefined;
    this.#committedEpoch = epoch;
  }

  /** Forgets what is not committed; what is written from now on belongs to `epoch`. */
  rollback(epoch: number): void {
    for (const entries of [...this.#inFlight, this.#dirty]) {
      for (const { key } of entries) this.#undo(key);
    }
    // Whoever changed a value in place changed that of an epoch that never was.
    for (const entry of this.#overlay.values()) entry.value = undefined;
    this.#recent?.clear();
    this.#order = undefined;
    this.#inFlight.length = 0;
    this.#dirty = [];
    this.#epoch = epoch;
  }

  #undo(key: ByteKey): void {
    const entry = this.#committedOf(this.#overlay.get(key));
    if (entry === undefined) this.#overlay.delete(key);
    else this.#overlay.set(key, entry);
  }

  /** An entry of the changelog; `start` -1 deletes. It counts as committed. */
  restore(key: ByteKey, bytes: Buffer, start: number, end: number): void {
    const at = this.#timed && start >= 0 ? bytes.readDoubleBE(start) : 0;
    const expired = start >= 0 && this.isExpired(at, Number.NEGATIVE_INFINITY);
    const deleted = start < 0 || expired;
    const entry = new Entry<V>(key, this.#committedEpoch, undefined);
    entry.at = at;
    entry.deleted = deleted;
    if (!deleted) entry.bytes = bytes;
    // A deletion has no bytes: room on the disk is reserved by what entries say.
    entry.start = deleted ? 0 : start;
    entry.end = deleted ? 0 : end;
    this.#overlay.set(key, entry);
  }

  /** The changelog was restored up to and with `epoch`. */
  restored(epoch: number): void {
    this.#committedEpoch = epoch;
    this.#epoch = epoch + 1;
    this.#order = undefined;
    this.#recent?.clear();
  }

  /** Whether an entry written at `at` is forgotten by `now`, both ms of event time. */
  isExpired(at: number, now: number): boolean {
    const { expiry } = this.spec;
    if (expiry === undefined) return false;
    return at + expiry.ttlMs <= Math.max(now, this.horizon);
  }

  /** Committed entries that are not in the backend, in order of keys. */
  unflushed(): Change[] {
    const changes: Change[] = [];
    for (const newest of this.#overlay.values()) {
      const entry = this.#committedOf(newest);
      if (entry !== undefined) changes.push(entry);
    }
    return changes.sort(byKey);
  }

  /** What `unflushed` returned is in the backend. */
  flushed(): void {
    this.#flushes += 1;
    const uncommitted: Entry<V>[] = [];
    for (const entry of this.#overlay.values()) {
      if (entry.epoch > this.#committedEpoch) uncommitted.push(entry);
      else if (this.#recent !== undefined) this.#remember(entry);
    }
    this.#overlay.clear();
    this.#order = undefined;
    for (const entry of uncommitted) {
      this.#recent?.delete(entry.key);
      this.#cutPrior(entry);
      this.#overlay.set(entry.key, entry);
    }
  }

  #remember({ key, deleted, value }: Entry<V>): void {
    if (deleted || value === undefined) this.#recent?.delete(key);
    else this.#recent?.set(key, value);
  }

  #cutPrior(newest: Entry<V>): void {
    let entry: Entry<V> | undefined = newest;
    while (entry?.prior !== undefined) {
      if (entry.prior.epoch <= this.#committedEpoch) entry.prior = undefined;
      entry = entry.prior;
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#flushes += 1;
    this.#overlay.clear();
    this.#order = undefined;
    this.#inFlight.length = 0;
    this.#dirty = [];
    this.#recent?.clear();
    this.horizon = Number.NEGATIVE_INFINITY;
  }
}

/** Changes by key, byte by byte. */
export function byKey(a: { readonly key: ByteKey }, b: { readonly key: ByteKey }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function orderOf(keys: Iterable<ByteKey>): SortedTree<undefined> {
  const order = sortedTree<undefined>();
  for (const key of [...keys].sort()) order.set(key, undefined);
  return order;
}
