/**
 * A key as state has it: a string with one character (0–255) for each byte. Maps take it as it is, `<` orders it by
 * bytes, and writing it into a buffer is one copy.
 */
export type ByteKey = string;

/** Longest key in bytes, everything included: LMDB's limit with 4 KB pages, less what a backend needs itself. */
export const MAX_KEY_BYTES = 1_900;

/** How far the changelog is contained in a state, and where its log stands. */
export interface Position {
  /** Offset of the changelog that comes next. */
  readonly nextOffset: bigint;
  /** Number of the last epoch contained, and which of its segments was the last. */
  readonly epoch: number;
  readonly part: number;
  readonly parts: number;
  /** Bytes of segments between the boundary and `nextOffset`. */
  readonly logBytes: number;
}

/** One entry to write; the newest of its key. */
export interface Change {
  readonly key: ByteKey;
  readonly deleted: boolean;
  /** Holds the value from `start` to `end`, unless it is deleted. */
  readonly bytes: Buffer | undefined;
  readonly start: number;
  readonly end: number;
}

/** Changes of one store, in order of keys, each key once. */
export interface StoreChanges {
  readonly store: number;
  readonly changes: readonly Change[];
  /** Event time, ms: entries of an expiring store are forgotten for good once their time + `ttlMs` is not above it. */
  readonly horizon?: number;
}

/** An entry read from a backend. */
export interface StoredEntry {
  readonly key: ByteKey;
  /** A copy: it stays valid. */
  readonly value: Buffer;
}

/**
 * Content of one store; bytes as far as the backend knows them. Of a store that expires, entries that expired and older
 * copies of a key count until they are dropped.
 */
export interface StoreSize {
  readonly entries: number;
  readonly bytes: number;
}

/** A store of a task, as its backend and its changelog know it. */
export interface StoreDescriptor {
  readonly name: string;
  /** Raised when the bytes of old values are of no more use: the store then starts empty. */
  readonly version: number;
  /** Its entries expire: values begin with the event time of their write (f64, big-endian, ms), and live so many ms. */
  readonly ttlMs?: number;
}

/** Whose state a directory holds. */
export interface StateIdentity {
  readonly namespace: string;
  readonly pipeline: string;
  readonly subTopology: string;
  readonly partition: number;
}

/** A file of a snapshot, by its name within the directory. */
export interface SnapshotFile {
  readonly name: string;
  readonly bytes: number;
}

export type BackendKind = 'memory' | 'lmdb';

/**
 * Ordered bytes by store, changed in batches, each with the position that it brings the state to. Stores are
 * numbered as in the list that the backend was opened with. One user at a time; everything but `snapshot` and
 * `close` is synchronous.
 */
export interface StateBackend {
  readonly kind: BackendKind;
  /** Whether it forgets what the horizon of its changes lets expire, or has to be told to delete each such entry. */
  readonly dropsExpired: boolean;
  /** Of the last batch; undefined when there was none. */
  readonly position: Position | undefined;
  /** The value of a key; valid until the backend is used again. @throws ReachflowError `STATE_CORRUPT`. */
  get(store: number, key: ByteKey): Buffer | undefined;
  /** Up to `limit` entries with `from` <= key < `to`, in order. @throws ReachflowError `STATE_CORRUPT`. */
  range(store: number, from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[];
  /**
   * Writes all changes and the position, or nothing.
   * @throws ReachflowError `STATE_DISK_FULL` (retry: backoff): the same call can be made again later.
   */
  apply(changes: readonly StoreChanges[], position: Position): void;
  size(store: number): StoreSize;
  /** Forgets everything, the position included. */
  clear(): void;
  /**
   * Writes what the last batch left into `dir` (made if it is not there), while `apply` goes on. Placed into the
   * directory of a task that has no state, these files are its state. `dir` must not hold a state yet.
   * @throws ReachflowError `STATE_SNAPSHOT_FAILED` (retry: backoff), or what the file system throws.
   */
  snapshot(dir: string): Promise<SnapshotFile[]>;
  close(): Promise<void>;
}
