import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
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
import { readSnapshot, SNAPSHOT_FILE, writeSnapshot } from './memory-snapshot.ts';
import { type SortedTree, sortedTree } from './sorted-tree.ts';

/** Values are strings as keys are: they are plain memory, which keeps no larger buffer alive. */
type Tree = SortedTree<string>;

export interface MemoryOptions {
  readonly identity: StateIdentity;
  readonly stores: readonly StoreDescriptor[];
  readonly onClose?: () => Promise<void>;
}

/** State in memory: for tests, and where changelog or checkpoints may rebuild it at each start. */
export class MemoryBackend implements StateBackend {
  readonly kind = 'memory' as const;
  readonly dropsExpired = false;
  readonly #options: MemoryOptions;
  #position: Position | undefined;
  #trees: Tree[] = [];
  #bytes: number[] = [];

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.#trees = options.stores.map(() => sortedTree<string>());
    this.#bytes = options.stores.map(() => 0);
  }

  /** Takes a snapshot's content over. @throws DamagedSnapshot, or what the file system throws. */
  load(path: string): void {
    const { identity, stores } = this.#options;
    this.#position = readSnapshot(path, identity, stores, (store, key, bytes, start, end) =>
      this.#set(store, key, bytes.toString('latin1', start, end)),
    );
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get(store: number, key: ByteKey): Buffer | undefined {
    const value = this.#tree(store).get(key);
    return value === undefined ? undefined : Buffer.from(value, 'latin1');
  }

  range(store: number, from: ByteKey, to: ByteKey | undefined, limit: number): StoredEntry[] {
    const entries: StoredEntry[] = [];
    for (const [key, value] of this.#tree(store).entries(from)) {
      if ((to !== undefined && key >= to) || entries.length >= limit) break;
      entries.push({ key, value: Buffer.from(value, 'latin1') });
    }
    return entries;
  }

  #tree(store: number): Tree {
    const tree = this.#trees[store];
    if (tree === undefined) throw new Error(`there is no store ${store}`);
    return tree;
  }

  #set(store: number, key: ByteKey, value: string | undefined): void {
    const tree = this.#tree(store);
    const old = tree.get(key);
    if (value === undefined) tree.delete(key);
    else tree.set(key, value);
    const before = old === undefined ? 0 : key.length + old.length;
    const after = value === undefined ? 0 : key.length + value.length;
    this.#bytes[store] = (this.#bytes[store] ?? 0) + after - before;
  }

  apply(changes: readonly StoreChanges[], position: Position): void {
    for (const { store, changes: ofStore } of changes) {
      for (const { key, deleted, bytes, start, end } of ofStore)
        this.#set(store, key, deleted ? undefined : bytes?.toString('latin1', start, end));
    }
    this.#position = position;
  }

  size(store: number): StoreSize {
    return { entries: this.#tree(store).size, bytes: this.#bytes[store] ?? 0 };
  }

  clear(): void {
    this.#trees = this.#trees.map(() => sortedTree<string>());
    this.#bytes = this.#bytes.map(() => 0);
    this.#position = undefined;
  }

  async snapshot(dir: string): Promise<SnapshotFile[]> {
    mkdirSync(dir, { recursive: true });
    const { identity, stores } = this.#options;
    // A clone shares what neither side changes.
    const trees = this.#trees.map((tree) => tree.clone());
    const content = { identity, stores, trees, position: this.#position };
    return [{ name: SNAPSHOT_FILE, bytes: await writeSnapshot(join(dir, SNAPSHOT_FILE), content) }];
  }

  async close(): Promise<void> {
    this.clear();
    await this.#options.onClose?.();
  }
}
