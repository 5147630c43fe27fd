import type {
  BackendKind,
  ByteKey,
  Change,
  Position,
  SnapshotFile,
  StateBackend,
  StoreChanges,
  StoreDescriptor,
} from './backend.ts';
import { corrupt, gapBetween, readSegment, type Segment, SegmentWriter } from './changelog.ts';
import {
  HOUSEKEEPING_TABLE,
  Housekeeping,
  type HousekeepingEffects,
  type HousekeepingState,
} from './housekeeping.ts';
import { bytesOfText } from './keys.ts';
import { bytesSerde } from './serde.ts';
import type { StoreSpec } from './spec.ts';
import { byKey, Table } from './table.ts';
import type { TableSpec } from './table-spec.ts';

export interface TaskStateOptions {
  /** Names the changelog partition in errors. */
  readonly changelog?: string;
  /** Committed changes go to the backend when there are so many, … default 20,000. */
  readonly flushEntries?: number;
  /** … or so many ms after the first of them, at the next commit; default 1 s. */
  readonly flushMs?: number;
  /** Housekeeping begins when the changelog has more bytes than this, default 32 MB, … */
  readonly minLogBytes?: number;
  /** … and than so many times the live entries; default 2. */
  readonly liveFactor?: number;
  /** Entries that housekeeping visits in an epoch, beside two for each that the epoch writes; default 500. */
  readonly passEntries?: number;
  /** ms, for `flushMs`. */
  readonly now?: () => number;
}

/** What a task's state is, for metrics and people. */
export interface StateStats {
  readonly backend: BackendKind;
  /** In the backend; what is pending is not counted. */
  readonly stores: readonly {
    readonly name: string;
    readonly entries: number;
    readonly bytes: number;
  }[];
  /** Entries that are not in the backend yet. */
  readonly pending: number;
  /** Bytes of the changelog since the boundary. */
  readonly logBytes: number;
  /** Whether housekeeping rewrites or expires entries at present. */
  readonly housekeeping: boolean;
}

interface InFlight {
  readonly epoch: number;
  readonly parts: number;
  readonly bytes: number;
  readonly effects: HousekeepingEffects;
}

const META_TABLE: TableSpec<Buffer> = {
  name: '#meta',
  version: 1,
  serde: bytesSerde,
  cached: true,
};
const FLUSH_BYTES = 32 * 1024 * 1024;
const RESTORE_ENTRIES = 100_000;

/** The stores that a task's backend and changelog hold: its own, then the declared ones. @throws Error on two of a name. */
export function storesOf(specs: readonly StoreSpec<unknown>[]): StoreDescriptor[] {
  const stores = [META_TABLE, HOUSEKEEPING_TABLE, ...specs].map(
    ({ name, version, ttlMs }: StoreDescriptor) =>
      ttlMs === undefined ? { name, version } : { name, version, ttlMs },
  );
  const names = new Set<string>();
  for (const { name } of stores) {
    if (names.has(name)) throw new Error(`two stores are named ${name}`);
    names.add(name);
  }
  return stores;
}

/**
 * All stores of one task, its only user. The life of a change: a store's `set` → `takeChanges` (the epoch's
 * segments, which the task writes to its changelog in the epoch's transaction) → `committed` → at some time the
 * backend, together with its position. So the backend is never ahead of the changelog, and a crash costs nothing but
 * reading the changelog's tail. Several epochs can be on their way at once; they commit in order.
 */
export class TaskState {
  readonly #backend: StateBackend;
  readonly #options: Required<TaskStateOptions>;
  readonly #tables: Table<unknown>[] = [];
  readonly #stores = new Map<string, unknown>();
  readonly #meta: Table<Buffer>;
  readonly #housekeeping: Housekeeping;
  readonly #descriptors: readonly StoreDescriptor[];
  readonly #writer: SegmentWriter;
  #epoch = 1;
  readonly #inFlight: (InFlight | undefined)[] = [];
  /** Of the last committed or restored segment. */
  #position: Position | undefined;
  #nextOffset = 0n;
  #logBytes = 0;
  #flushedPosition: Position | undefined;
  #pendingBytes = 0;
  #pendingSince = Number.POSITIVE_INFINITY;
  #expired = new Map<number, ByteKey[]>();
  #restoredDictionary: Buffer | undefined;
  #restoredIndexes: readonly (number | undefined)[] = [];

  /** @param backend opened with `storesOf(specs)`; the state closes it. @throws Error on two stores of a name. */
  constructor(
    specs: readonly StoreSpec<unknown>[],
    backend: StateBackend,
    options: TaskStateOptions = {},
  ) {
    this.#backend = backend;
    this.#options = {
      changelog: 'changelog',
      flushEntries: 20_000,
      flushMs: 1_000,
      minLogBytes: 32 * 1024 * 1024,
      liveFactor: 2,
      passEntries: 500,
      now: () => performance.now(),
      ...options,
    };
    this.#descriptors = storesOf(specs);
    this.#writer = new SegmentWriter(this.#descriptors);
    this.#meta = this.#open(META_TABLE);
    const housekeeping = this.#open<HousekeepingState>(HOUSEKEEPING_TABLE);
    for (const spec of specs)
      this.#stores.set(
        spec.name,
        spec.bind((table) => this.#open(table)),
      );
    this.#housekeeping = new Housekeeping(
      housekeeping,
      this.#tables.filter(({ index }) => index !== housekeeping.index),
      this.#options,
      () => this.#tables.reduce((sum, { index }) => sum + backend.size(index).bytes, 0),
      backend.dropsExpired,
    );
    this.#adopt(backend.position);
  }

  #open<V>(spec: TableSpec<V>): Table<V> {
    const table = new Table<V>(this.#tables.length, spec, this.#backend);
    this.#tables.push(table as unknown as Table<unknown>);
    return table;
  }

  #adopt(position: Position | undefined): void {
    this.#position = position;
    this.#flushedPosition = position;
    this.#nextOffset = position?.nextOffset ?? 0n;
    this.#logBytes = position?.logBytes ?? 0;
    this.#epoch = (position?.epoch ?? 0) + 1;
    for (const table of this.#tables) table.restored(this.#epoch - 1);
    this.#housekeeping.applyHorizon();
  }

  /** The store of a declared spec. @throws Error when it was not declared. */
  store<S>(spec: StoreSpec<S>): S {
    if (!this.#stores.has(spec.name)) throw new Error(`store ${spec.name} is not declared`);
    return this.#stores.get(spec.name) as S;
  }

  /** Small metadata of the task, such as watermarks, that commits and restores as stores do. `value` must not change. */
  setMeta(name: string, value: Buffer): void {
    this.#meta.set(bytesOfText(name), value, 0);
  }

  getMeta(name: string): Buffer | undefined {
    return this.#meta.get(bytesOfText(name));
  }

  /** Offset of the changelog up to which the backend is; undefined when it is empty. */
  get position(): bigint | undefined {
    return this.#flushedPosition?.nextOffset;
  }

  /** Everything in the changelog before this offset is redundant, and may be deleted. */
  get boundary(): bigint | undefined {
    return this.#housekeeping.boundary;
  }

  /** Whether the current epoch changed anything; a task that is at rest need not commit. */
  get hasChanges(): boolean {
    return this.#tables.some(({ changed }) => changed > 0);
  }

  /**
   * Where to read the changelog from, whose records go from `logStart` up to, not including, `logEnd`. A local state
   * that this log does not continue, since its tail was deleted or it is another topic's, is forgotten.
   */
  startRestore(logStart: bigint, logEnd: bigint): bigint {
    const position = this.#flushedPosition?.nextOffset;
    if (position !== undefined && position >= logStart && position <= logEnd) return position;
    if (position !== undefined) this.clear();
    this.#nextOffset = logStart;
    return logStart;
  }

  /**
   * One segment of the changelog, in order. @param nextOffset the offset after its record.
   * @throws ReachflowError `CHANGELOG_CORRUPT`, or `STATE_DISK_FULL` (retry: backoff).
   */
  restore(segment: Buffer, nextOffset: bigint): void {
    const where = `${this.#options.changelog}@${nextOffset - 1n}`;
    const read = readSegment(segment, where);
    const gap = gapBetween(this.#position, read);
    if (gap !== undefined) throw corrupt(where, `leaves a gap: ${gap}`);
    const indexes = this.#indexesOf(read);
    read.forEach((store, key, bytes, start, end) => {
      const index = indexes[store];
      if (index !== undefined) this.#tables[index]?.restore(key, bytes, start, end);
    });
    const { epoch, part, parts } = read;
    this.#logBytes += segment.length;
    this.#nextOffset = nextOffset;
    this.#position = { nextOffset, epoch, part, parts, logBytes: this.#logBytes };
    this.#pendingBytes += segment.length;
    this.#epoch = epoch + 1;
    for (const table of this.#tables) table.restored(epoch);
    this.#housekeeping.applyHorizon();
    if (this.#pending >= RESTORE_ENTRIES || this.#pendingBytes >= FLUSH_BYTES) this.flush();
  }

  /** The tables of a segment's stores; empties those of which the segment says that they were not there. */
  #indexesOf({ dictionary, stores }: Segment): readonly (number | undefined)[] {
    if (this.#restoredDictionary?.equals(dictionary) === true) return this.#restoredIndexes;
    const same = (a: StoreDescriptor, b: StoreDescriptor) =>
      a.name === b.name && a.version === b.version;
    for (const [index, store] of this.#descriptors.entries()) {
      const table = this.#tables[index];
      if (table === undefined || stores.some((other) => same(store, other))) continue;
      for (const { key, value } of table.iterateBytes('')) table.restore(key, value, -1, -1);
    }
    this.#restoredDictionary = Buffer.from(dictionary);
    this.#restoredIndexes = stores.map((store) => {
      const index = this.#descriptors.findIndex((other) => same(store, other));
      return index < 0 ? undefined : index;
    });
    return this.#restoredIndexes;
  }

  /** The changelog was read to its end. @throws ReachflowError `STATE_DISK_FULL` (retry: backoff). */
  endRestore(): void {
    this.flush();
  }

  /**
   * The epoch's share of housekeeping: once per epoch, before `takeChanges`.
   * @param eventTimeMs watermark of the task, ms; entries expire by it.
   */
  housekeep(eventTimeMs: number): void {
    const log = { nextOffset: this.#nextOffset, bytes: this.#logBytes };
    this.#housekeeping.run(eventTimeMs, log);
  }

  /**
   * Ends the epoch: its changes as changelog segments, none when nothing changed. Followed by one `committed`, or by
   * `rollback`; the next epoch can begin before that.
   * @throws ReachflowError `STATE_VALUE_TOO_LARGE` (domain user): roll back.
   */
  takeChanges(): Buffer[] {
    this.#writer.begin(this.#epoch);
    this.#housekeeping.encode(this.#writer);
    for (const table of this.#tables) table.encode(this.#writer);
    const segments = this.#writer.finish();
    if (segments.length === 0) {
      this.#inFlight.push(undefined);
      return segments;
    }
    this.#inFlight.push({
      epoch: this.#epoch,
      parts: segments.length,
      bytes: segments.reduce((sum, { length }) => sum + length, 0),
      effects: this.#housekeeping.takeEffects(),
    });
    this.#epoch += 1;
    for (const table of this.#tables) table.endEpoch(this.#epoch);
    return segments;
  }

  /**
   * The oldest epoch that was taken is committed; the backend may get it now.
   * @param nextOffset the changelog's, after the epoch's last segment; of no meaning when it had none.
   * @throws ReachflowError `STATE_DISK_FULL` (retry: backoff): the commit is noted all the same, so call `flush` again.
   */
  committed(nextOffset: bigint): void {
    if (this.#inFlight.length === 0) throw new Error('committed, but no epoch was taken');
    const epoch = this.#inFlight.shift();
    if (epoch !== undefined) this.#commit(epoch, nextOffset);
    const { flushEntries, flushMs, now } = this.#options;
    const late = now() - this.#pendingSince >= flushMs;
    if (late || this.#pending >= flushEntries || this.#pendingBytes >= FLUSH_BYTES) this.flush();
  }

  #commit({ epoch, parts, bytes, effects }: InFlight, nextOffset: bigint): void {
    for (const table of this.#tables) table.committed(epoch);
    for (const [index, keys] of effects.expired) {
      const known = this.#expired.get(index);
      if (known === undefined) this.#expired.set(index, [...keys]);
      else for (const key of keys) known.push(key);
    }
    this.#nextOffset = nextOffset;
    this.#logBytes = Math.max(0, this.#logBytes + bytes - effects.trimmed);
    const part = parts - 1;
    this.#position = { nextOffset, epoch, part, parts, logBytes: this.#logBytes };
    this.#pendingBytes += bytes;
    if (this.#pendingSince === Number.POSITIVE_INFINITY) this.#pendingSince = this.#options.now();
  }

  /** Epochs that were not committed did not happen: the state is what was committed last. */
  rollback(): void {
    this.#inFlight.length = 0;
    this.#epoch = (this.#position?.epoch ?? 0) + 1;
    for (const table of this.#tables) table.rollback(this.#epoch);
    this.#housekeeping.rollback();
  }

  get #pending(): number {
    let pending = 0;
    for (const table of this.#tables) pending += table.pending;
    return pending;
  }

  /** Brings what is committed into the backend. @throws ReachflowError `STATE_DISK_FULL` (retry: backoff). */
  flush(): void {
    const position = this.#position;
    if (position === undefined || position === this.#flushedPosition) return;
    const changes: StoreChanges[] = [];
    for (const table of this.#tables) {
      const all = withExpired(table.unflushed(), this.#expired.get(table.index));
      const horizon = this.#housekeeping.committedHorizon(table);
      if (all.length > 0 || horizon > Number.NEGATIVE_INFINITY)
        changes.push({ store: table.index, changes: all, horizon });
    }
    this.#backend.apply(changes, position);
    for (const table of this.#tables) table.flushed();
    this.#flushedPosition = position;
    this.#expired = new Map();
    this.#pendingBytes = 0;
    this.#pendingSince = Number.POSITIVE_INFINITY;
  }

  /**
   * Flushes, then writes the backend's content into `dir`, while the task goes on.
   * @returns the files, and the changelog's next offset that they are at. @throws as `flush`.
   */
  async snapshot(dir: string): Promise<{ nextOffset: bigint; files: SnapshotFile[] }> {
    this.flush();
    const { nextOffset } = this.#flushedPosition ?? { nextOffset: this.#nextOffset };
    return { nextOffset, files: await this.#backend.snapshot(dir) };
  }

  stats(): StateStats {
    return {
      backend: this.#backend.kind,
      stores: this.#descriptors.map(({ name }, index) => ({ name, ...this.#backend.size(index) })),
      pending: this.#pending,
      logBytes: this.#logBytes,
      housekeeping: this.#housekeeping.active,
    };
  }

  /** Forgets everything, in the backend, too: to restore from the changelog's beginning. */
  clear(): void {
    this.#backend.clear();
    for (const table of this.#tables) table.clear();
    this.#inFlight.length = 0;
    this.#expired = new Map();
    this.#restoredDictionary = undefined;
    this.#pendingBytes = 0;
    this.#pendingSince = Number.POSITIVE_INFINITY;
    this.#adopt(undefined);
  }

  /** Flushes if it can, and closes the backend. */
  async close(): Promise<void> {
    try {
      this.flush();
    } finally {
      await this.#backend.close();
    }
  }
}

/** Adds deletions of expired keys, unless there is a newer change of the key. */
function withExpired(changes: Change[], expired: readonly ByteKey[] | undefined): Change[] {
  if (expired === undefined || expired.length === 0) return changes;
  const changed = new Set(changes.map(({ key }) => key));
  const deletions = [...new Set(expired)]
    .filter((key) => !changed.has(key))
    .map((key) => ({ key, deleted: true, bytes: undefined, start: 0, end: 0 }));
  return [...changes, ...deletions].sort(byKey);
}
