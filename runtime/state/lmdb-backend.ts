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
import { type Database, open, type RootDatabase } from 'lmdb';
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
import { CHECKSUM_BYTES, checksum, isIntact, readKey, writeKey } from './lmdb-entry.ts';
import { positionFromJson, positionToJson } from './position.ts';

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
  /** Called once the environment is closed; `sound` when all of it is on disk, and could be read. */
  readonly onClose: (sound: boolean) => Promise<void>;
}

export const DATA_FILE = 'data.mdb';
const FORMAT = 1;
const IDENTITY = 'identity';
const POSITION = 'position';
const MEGABYTE = 1024 * 1024;
/** Keys are strings of bytes, values buffers. Pages may be written at any time: see the ADR on power loss. */
const DATABASE = { encoding: 'binary' as const, keyEncoder: { writeKey, readKey } };

type Bytes = Database<Buffer, ByteKey>;

/**
 * State in an LMDB environment (http://www.lmdb.tech), which is read through its memory map. Pages are written through
 * the map, too, which costs half of what writing them by calls costs. So that a full disk is an error of a call, not
 * the end of the process, the space a batch can need is allocated before it.
 */
export class LmdbBackend implements StateBackend {
  readonly kind = 'lmdb' as const;
  readonly #options: LmdbOptions;
  readonly #root: RootDatabase<Buffer, ByteKey>;
  readonly #about: Bytes;
  readonly #stores: FilteredStore[];
  /** Set when something could not be read: the file is checked whole when it is opened next. */
  #damaged = false;
  #position: Position | undefined;
  /** Bytes of the file that have room on the disk. */
  #allocated: number;
  readonly #copies = new Map<EnvironmentCopy, Promise<void>>();
  #scratch = Buffer.allocUnsafeSlow(4_096);

  /**
   * Opens an environment that was checked, or makes one.
   * @throws ReachflowError `STATE_NOT_OURS`, or what LMDB throws.
   */
  constructor(options: LmdbOptions) {
    const { dir, stores, maxBytes } = options;
    this.#options = options;
    mkdirSync(dir, { recursive: true });
    const file = statSync(join(dir, DATA_FILE), { throwIfNoEntry: false });
    this.#root = open<Buffer, ByteKey>({
      path: dir,
      noSubdir: false,
      noSync: true,
      noMemInit: true,
      useWritemap: true,
      mapSize: Math.max(maxBytes, file?.size ?? 0),
      maxDbs: stores.length + 8,
      ...DATABASE,
    });
    this.#allocated = 0;
    try {
      this.#allocated = this.#usedBytes();
      this.#reserve(MEGABYTE);
      this.#about = this.#root.openDB('#about', DATABASE);
      this.#checkIdentity();
      this.#stores = stores.map(({ name }) => new FilteredStore(this.#root.openDB(name, DATABASE)));
      this.#position = this.#readPosition();
    } catch (error) {
      void this.#root.close();
      throw error;
    }
  }

  #checkIdentity(): void {
    const { identity, stores } = this.#options;
    const description: Description = { format: FORMAT, ...identity, stores };
    const known = this.#about.getBinary(IDENTITY);
    if (known !== undefined) {
      const found = JSON.parse(this.#checked(IDENTITY, known).toString('utf8')) as Description;
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
      this.#put(this.#about, IDENTITY, Buffer.from(JSON.stringify(description))),
    );
  }

  /** Stores that are no longer declared, or in another version, would be out of date if they came back. */
  #dropStale(found: readonly StoreDescriptor[]): void {
    for (const { name, version } of found) {
      if (this.#options.stores.some((store) => store.name === name && store.version === version))
        continue;
      this.#root.openDB(name, DATABASE).dropSync();
    }
  }

  #readPosition(): Position | undefined {
    const bytes = this.#about.getBinary(POSITION);
    return bytes === undefined ? undefined : positionFromJson(this.#checked(POSITION, bytes));
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get(store: number, key: ByteKey): Buffer | undefined {
    const { database, filter, complete } = this.#store(store);
    if (complete && !filter.mayHave(key)) return undefined;
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

  range(store: number, from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[] {
    const { database } = this.#store(store);
    const bounds = to === undefined ? {} : { end: to };
    try {
      const entries: StoredEntry[] = [];
      for (const { key, value } of database.getRange({ start: from, limit, ...bounds }))
        entries.push({ key, value: this.#checked(key, value) });
      return entries;
    } catch (error) {
      if (error instanceof ReachflowError) throw error;
      throw this.#corrupt(from, error);
    }
  }

  #store(store: number): FilteredStore {
    const found = this.#stores[store];
    if (found === undefined) throw new Error(`there is no store ${store}`);
    return found;
  }

  #checked(key: ByteKey, stored: Buffer): Buffer {
    if (!isIntact(key, stored, stored.length)) throw this.#corrupt(key);
    return stored.subarray(0, stored.length - CHECKSUM_BYTES);
  }

  #corrupt(key: ByteKey, cause?: unknown): ReachflowError {
    this.#damaged = true;
    const what =
      cause === undefined ? `the value of ${JSON.stringify(key.slice(0, 40))}` : 'a page';
    return new ReachflowError(
      `${this.#options.dir}: ${what} at ${JSON.stringify(key.slice(0, 40))} is damaged`,
      {
        code: 'STATE_CORRUPT',
        domain: 'external',
        hint: 'Close the state and open it again: it is then checked whole, and rebuilt.',
        cause,
      },
    );
  }

  apply(changes: readonly StoreChanges[], position: Position): void {
    for (const copy of this.#copies.keys()) copy.awaitStarted();
    this.#reserve(this.#mostBytes(changes));
    try {
      this.#root.transactionSync(() => {
        for (const { store, changes: ofStore } of changes) {
          const { database, filter } = this.#store(store);
          for (const { key, deleted, bytes, start, end } of ofStore) {
            if (deleted || bytes === undefined) {
              void database.remove(key);
            } else {
              this.#put(database, key, bytes, start, end);
              filter.add(key);
            }
          }
        }
        this.#put(this.#about, POSITION, positionToJson(position));
      });
    } catch (error) {
      throw this.#writeFailed(error);
    }
    this.#position = position;
    for (const { store } of changes) this.#store(store).fill();
  }

  #put(database: Bytes, key: ByteKey, value: Buffer, start = 0, end = value.length): void {
    const length = end - start;
    if (length + CHECKSUM_BYTES > this.#scratch.length)
      this.#scratch = Buffer.allocUnsafeSlow(2 * (length + CHECKSUM_BYTES));
    value.copy(this.#scratch, 0, start, end);
    this.#scratch.writeUInt32LE(checksum(key, value, start, end), length);
    // Within a transaction, `put` has copied the bytes when it returns.
    void database.put(key, this.#scratch.subarray(0, length + CHECKSUM_BYTES));
  }

  size(store: number): StoreSize {
    const { entries, pages, pageSize } = statsOf(this.#store(store).database);
    return { entries, bytes: pages * pageSize };
  }

  #usedBytes(): number {
    const { lastPage, pageSize } = statsOf(this.#root);
    return (lastPage + 1) * pageSize;
  }

  /** An upper bound of the pages that a batch can add to the file, in bytes: each is copied when it changes. */
  #mostBytes(changes: readonly StoreChanges[]): number {
    let most = MEGABYTE;
    for (const { store, changes: ofStore } of changes) {
      const { pages, pageSize } = statsOf(this.#store(store).database);
      let bytes = 0;
      for (const { key, start, end } of ofStore) bytes += key.length + end - start + 64;
      // Pages that are there, once; those of new entries half full; and values of more than half a page in whole pages.
      most += Math.min(pages, 2 * ofStore.length + 64) * pageSize + 4 * bytes;
    }
    return most;
  }

  /** @throws ReachflowError `STATE_DISK_FULL`. */
  #reserve(bytes: number): void {
    const needed = this.#usedBytes() + bytes;
    if (needed <= this.#allocated) return;
    const { dir, maxBytes } = this.#options;
    if (needed > maxBytes)
      throw diskFull(`${dir} would be larger than ${maxBytes} bytes`, undefined);
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
      for (const { database } of this.#stores) database.clearSync();
      void this.#about.remove(POSITION);
    });
    for (const store of this.#stores) store.restart();
    this.#position = undefined;
  }

  async snapshot(dir: string): Promise<SnapshotFile[]> {
    mkdirSync(dir, { recursive: true });
    const copy = new EnvironmentCopy(join(dir, DATA_FILE));
    const copied = copy.finish(this.#root.backup(dir, true));
    this.#copies.set(copy, copied);
    try {
      await copied;
    } finally {
      this.#copies.delete(copy);
    }
    return [{ name: DATA_FILE, bytes: statSync(join(dir, DATA_FILE)).size }];
  }

  async close(): Promise<void> {
    // Copies read the map in another thread: the environment must not be closed under them.
    await Promise.allSettled(this.#copies.values());
    const synced = await new Promise<boolean>((resolve) => {
      syncable(this.#root).sync((error) => resolve(error === null || error === undefined));
    });
    const used = this.#usedBytes();
    await this.#root.close();
    // The file is as large as the map, with holes: not everything that copies files leaves holes out.
    truncateSync(join(this.#options.dir, DATA_FILE), used);
    await this.#options.onClose(synced && !this.#damaged);
  }
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

interface Stats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
  readonly entryCount: number;
  readonly pageSize: number;
  readonly lastPageNumber: number;
}

function statsOf(database: Bytes) {
  // Of the environment and the database; typed as {} by the library.
  const stats = database.getStats() as Stats;
  return {
    entries: stats.entryCount,
    pages: stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages,
    pageSize: stats.pageSize,
    lastPage: stats.lastPageNumber,
  };
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
