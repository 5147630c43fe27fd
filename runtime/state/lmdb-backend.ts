import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { errorCode, errorMessage, ReachflowError } from '../errors.ts';
import type {
  ByteKey,
  Position,
  SnapshotFile,
  StateBackend,
  StateIdentity,
  StoreChanges,
  StoreDescriptor,
  StoredEntry,
  StoreSize,
} from './backend.ts';
import { diskFull, isNoRoom } from './disk-full.ts';
import { EnvironmentCopy } from './environment-copy.ts';
import { FilteredStore } from './filtered-store.ts';
import { bytesOfText } from './keys.ts';
import type { LmdbStore } from './lmdb-store.ts';
import { type Bytes, DATABASE, LmdbValues, statsOf } from './lmdb-values.ts';
import { positionFromJson, positionToJson } from './position.ts';
import type { Run } from './run.ts';
import { RunFiles } from './run-files.ts';
import type { SegmentRecord } from './segment.ts';
import { SEGMENT_SLOTS, SegmentedStore } from './segmented-store.ts';

/** Whose state an environment holds, in it, beside its position. */
interface Description extends StateIdentity {
  readonly format: number;
  readonly stores: readonly StoreDescriptor[];
}

export interface LmdbOptions {
  readonly dir: string;
  readonly identity: StateIdentity;
  readonly stores: readonly StoreDescriptor[];
  /** Address space taken, and so the largest state, bytes. */
  readonly maxBytes: number;
  /** Entries after which a segment of a store that expires is sealed. */
  readonly segmentEntries: number;
  /** Called once the environment is closed; `sound` when all of it is on disk, and could be read. */
  readonly onClose: (sound: boolean) => Promise<void>;
}

export const DATA_FILE = 'data.mdb';
/** 2: stores that expire are kept in segments. */
const FORMAT = 2;
const IDENTITY = 'identity';
const POSITION = 'position';
const MEGABYTE = 1024 * 1024;

/**
 * State in an LMDB environment (http://www.lmdb.tech), which is read through its memory map. Pages are written through
 * the map, too, which costs half of what writing them by calls costs. So that a full disk is an error of a call, not
 * the end of the process, the space a batch can need is allocated before it. Pages may be written to the disk at any
 * time: see the ADR on power loss.
 */
export class LmdbBackend implements StateBackend {
  readonly kind = 'lmdb' as const;
  readonly dropsExpired = true;
  readonly #options: LmdbOptions;
  readonly #root: RootDatabase<Buffer, ByteKey>;
  readonly #about: Bytes;
  readonly #values: LmdbValues;
  readonly #stores: LmdbStore[] = [];
  readonly #runs: RunFiles;
  #position: Position | undefined;
  /** Bytes of the file that have room on the disk. */
  #allocated: number;
  readonly #copies = new Map<EnvironmentCopy, Promise<void>>();

  /**
   * Opens an environment that was checked, or makes one.
   * @throws ReachflowError `STATE_NOT_OURS`, or what LMDB throws.
   */
  constructor(options: LmdbOptions) {
    const { dir, stores, maxBytes } = options;
    this.#options = options;
    this.#values = new LmdbValues(dir);
    this.#runs = new RunFiles(dir);
    mkdirSync(dir, { recursive: true });
    const file = statSync(join(dir, DATA_FILE), { throwIfNoEntry: false });
    this.#root = open<Buffer, ByteKey>({
      path: dir,
      noSubdir: false,
      noSync: true,
      noMemInit: true,
      useWritemap: true,
      mapSize: Math.max(maxBytes, file?.size ?? 0),
      maxDbs: SEGMENT_SLOTS * (stores.length + 1) + 8,
      ...DATABASE,
    });
    this.#allocated = 0;
    try {
      this.#allocated = this.#usedBytes();
      this.#reserve(MEGABYTE);
      this.#about = this.#root.openDB('#about', DATABASE);
      this.#checkIdentity();
      for (const store of stores) this.#stores.push(this.#openStore(store));
      this.#runs.removeOthers(this.#stores.flatMap(({ runs }) => runs));
      this.#position = this.#readPosition();
    } catch (error) {
      for (const store of this.#stores) store.close();
      void this.#root.close();
      throw error;
    }
  }

  #checkIdentity(): void {
    const { identity, stores } = this.#options;
    const description: Description = { format: FORMAT, ...identity, stores };
    const known = this.#values.get(this.#about, IDENTITY);
    if (known !== undefined) {
      const found = JSON.parse(known.toString('utf8')) as Description;
      if (!isSameTask(found, description)) {
        throw new ReachflowError(`${this.#options.dir} holds the state of ${nameOf(found)}`, {
          code: 'STATE_NOT_OURS',
          domain: 'user',
          hint: `It should hold that of ${nameOf(description)}: was a directory copied?`,
        });
      }
      this.#dropStale(found.stores);
    }
    this.#root.transactionSync(() =>
      this.#values.put(this.#about, IDENTITY, Buffer.from(JSON.stringify(description))),
    );
  }

  /** Stores that are no longer declared, or in another version, would be out of date if they came back. */
  #dropStale(found: readonly StoreDescriptor[]): void {
    for (const stale of found) {
      if (this.#options.stores.some((store) => isSameStore(store, stale))) continue;
      if (stale.ttlMs === undefined) {
        this.#root.openDB(stale.name, DATABASE).dropSync();
        continue;
      }
      for (const { place } of this.#segmentsOf(stale) ?? [])
        if (typeof place === 'number')
          this.#root.openDB(segmentName(stale, place), DATABASE).dropSync();
      void this.#about.removeSync(segmentsKey(stale));
    }
  }

  #openStore(store: StoreDescriptor): LmdbStore {
    const { ttlMs, name } = store;
    const values = this.#values;
    if (ttlMs === undefined) return new FilteredStore(this.#root.openDB(name, DATABASE), values);
    return new SegmentedStore({
      ttlMs,
      segmentEntries: this.#options.segmentEntries,
      values,
      dir: this.#options.dir,
      records: this.#segmentsOf(store),
      open: (slot) => this.#root.openDB(segmentName(store, slot), DATABASE),
      save: (records) => {
        if (records === undefined) void this.#about.remove(segmentsKey(store));
        else values.put(this.#about, segmentsKey(store), Buffer.from(JSON.stringify(records)));
      },
      remove: (run) => this.#runs.remove(run),
    });
  }

  #segmentsOf(store: StoreDescriptor): SegmentRecord[] | undefined {
    const bytes = this.#values.get(this.#about, segmentsKey(store));
    return bytes === undefined
      ? undefined
      : (JSON.parse(bytes.toString('utf8')) as SegmentRecord[]);
  }

  #readPosition(): Position | undefined {
    const bytes = this.#values.get(this.#about, POSITION);
    return bytes === undefined ? undefined : positionFromJson(bytes);
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get(store: number, key: ByteKey): Buffer | undefined {
    return this.#store(store).get(key);
  }

  range(store: number, from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[] {
    return this.#store(store).range(from, to, limit);
  }

  #store(store: number): LmdbStore {
    const found = this.#stores[store];
    if (found === undefined) throw new Error(`there is no store ${store}`);
    return found;
  }

  apply(changes: readonly StoreChanges[], position: Position): void {
    for (const copy of this.#copies.keys()) copy.awaitStarted();
    // Segments are opened before the transaction, which takes a few pages.
    this.#reserve(MEGABYTE);
    this.#reserve(this.#prepare(changes));
    try {
      this.#root.transactionSync(() => {
        for (const ofStore of changes) this.#store(ofStore.store).write(ofStore);
        this.#values.put(this.#about, POSITION, positionToJson(position));
      });
    } catch (error) {
      throw this.#writeFailed(error);
    }
    this.#position = position;
    for (const { store } of changes) this.#store(store).written();
  }

  /** @returns an upper bound of what a batch can add to the file, bytes. @throws ReachflowError `STATE_DISK_FULL`. */
  #prepare(changes: readonly StoreChanges[]): number {
    try {
      let most = MEGABYTE;
      for (const ofStore of changes) most += this.#store(ofStore.store).prepare(ofStore);
      return most;
    } catch (error) {
      throw this.#writeFailed(error);
    }
  }

  size(store: number): StoreSize {
    return this.#store(store).size();
  }

  #usedBytes(): number {
    const { lastPage, pageSize } = statsOf(this.#root);
    return (lastPage + 1) * pageSize;
  }

  /** @throws ReachflowError `STATE_DISK_FULL`. */
  #reserve(bytes: number): void {
    const needed = this.#usedBytes() + bytes;
    const { dir, maxBytes } = this.#options;
    if (needed + this.#allRuns().reduce((sum, run) => sum + run.bytes, 0) > maxBytes)
      throw diskFull(`${dir} would be larger than ${maxBytes} bytes`, undefined);
    if (needed <= this.#allocated) return;
    const until = Math.min(maxBytes, needed + Math.min(needed >> 1, 64 * MEGABYTE));
    try {
      this.#allocated = allocate(join(dir, DATA_FILE), this.#allocated, until);
    } catch (error) {
      throw this.#writeFailed(error);
    }
  }

  #writeFailed(error: unknown): unknown {
    if (!isNoRoom(error) && errorCode(error) !== MAP_FULL) return error;
    return diskFull(`${this.#options.dir}: ${errorMessage(error)}`, error);
  }

  clear(): void {
    for (const copy of this.#copies.keys()) copy.awaitStarted();
    this.#root.transactionSync(() => {
      for (const store of this.#stores) store.clear();
      void this.#about.remove(POSITION);
    });
    for (const store of this.#stores) store.cleared();
    this.#position = undefined;
  }

  async snapshot(dir: string): Promise<SnapshotFile[]> {
    mkdirSync(dir, { recursive: true });
    const copy = new EnvironmentCopy(join(dir, DATA_FILE));
    // Nothing is written until the copy has begun: these are the runs that it names.
    const runs = this.#runs.copy(this.#allRuns(), dir);
    const copied = allEnded([copy.finish(this.#root.backup(dir, true)), runs]);
    this.#copies.set(copy, copied);
    try {
      await copied;
    } finally {
      this.#copies.delete(copy);
    }
    return [{ name: DATA_FILE, bytes: statSync(join(dir, DATA_FILE)).size }, ...(await runs)];
  }

  #allRuns(): Run[] {
    return this.#stores.flatMap(({ runs }) => runs);
  }

  async close(): Promise<void> {
    // Copies read the map in another thread: the environment must not be closed under them.
    await Promise.allSettled(this.#copies.values());
    const syncs = this.#allRuns().map((run) => run.sync());
    const runsSynced = (await Promise.allSettled(syncs)).every(
      ({ status }) => status === 'fulfilled',
    );
    const synced = await new Promise<boolean>((resolve) => {
      syncable(this.#root).sync((error) => resolve(error === null || error === undefined));
    });
    for (const store of this.#stores) store.close();
    const used = this.#usedBytes();
    await this.#root.close();
    // The file is as large as the map, with holes: not everything that copies files leaves holes out.
    truncateSync(join(this.#options.dir, DATA_FILE), used);
    await this.#options.onClose(synced && runsSynced && !this.#values.damaged);
  }
}

/** Waits until nothing writes into the directory any more, whatever fails; then throws the first failure. */
async function allEnded(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work))
    if (result.status === 'rejected') throw result.reason;
}

/** LMDB's code of a full map. */
const MAP_FULL = '-30792';

/** Gives a range of a file room on the disk by writing zeros. LMDB has no pages there yet. */
function allocate(path: string, from: number, to: number): number {
  const zeros = Buffer.alloc(MEGABYTE);
  const file = openSync(path, constants.O_RDWR);
  try {
    let at = from;
    while (at < to) at += writeSync(file, zeros, 0, Math.min(zeros.length, to - at), at);
    return at;
  } finally {
    closeSync(file);
  }
}

/** `sync` is not in the library's types. */
function syncable(root: RootDatabase<Buffer, ByteKey>) {
  return root as unknown as { sync(callback: (error: unknown) => void): void };
}

function isSameTask(a: Description, b: Description): boolean {
  return nameOf(a) === nameOf(b) && a.format === b.format;
}

function nameOf({ namespace, pipeline, subTopology, partition, format }: Description): string {
  return `${namespace}/${pipeline}.${subTopology}[${partition}], format ${format}`;
}

/** Whether what is kept of a store is of use to it. */
function isSameStore(a: StoreDescriptor, b: StoreDescriptor): boolean {
  const sameKind = (a.ttlMs === undefined) === (b.ttlMs === undefined);
  return a.name === b.name && a.version === b.version && sameKind;
}

/** Names of stores do not begin like this: those of the runtime begin with #. */
function segmentName({ name }: StoreDescriptor, slot: number): string {
  return `#segment:${slot}:${name}`;
}

function segmentsKey({ name }: StoreDescriptor): ByteKey {
  return `segments:${bytesOfText(name)}`;
}
