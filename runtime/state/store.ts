/** Turns a store's values into changelog bytes and back. */
export interface Serde<V> {
  encode(value: V): Buffer;
  decode(bytes: Buffer): V;
}

/** JSON values: no bigint, no undefined, no Date. */
export function jsonSerde<V>(): Serde<V> {
  return {
    encode: (value) => Buffer.from(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(bytes.toString('utf8')) as V,
  };
}

/** Declares a store of a processor: its name is part of the changelog's keys, so it must stay. */
export interface StoreSpec<V> {
  readonly name: string;
  readonly serde: Serde<V>;
}

/** Key-value state of one task, its only writer. Iteration is in order of the newest change. */
export interface Store<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
  entries(): IterableIterator<[string, V]>;
  readonly size: number;
}

/** A change of state as its changelog record: value null deletes. */
export interface StateChange {
  readonly key: string;
  readonly value: Buffer | null;
}

const SEPARATOR = '/';

/**
 * All stores of one task, in memory, backed by a changelog. Changes since the last `takeChanges` form the
 * epoch; a task whose epoch does not commit throws the whole state away and restores it from the changelog.
 */
export class TaskState {
  readonly #stores = new Map<string, MemoryStore<unknown>>();

  constructor(specs: readonly StoreSpec<unknown>[]) {
    for (const spec of specs) {
      if (spec.name.includes(SEPARATOR)) throw new Error(`store name ${spec.name} has a /`);
      this.#stores.set(spec.name, new MemoryStore(spec.serde));
    }
  }

  /** The store of a declared spec. */
  store<V>(spec: StoreSpec<V>): Store<V> {
    const found = this.#stores.get(spec.name);
    if (found === undefined)
      throw new Error(`store ${spec.name} is not declared by this processor`);
    return found as unknown as Store<V>;
  }

  /** Applies one changelog record; entries of stores that no longer exist are passed over. */
  restore(key: string, value: Buffer | null): void {
    const at = key.indexOf(SEPARATOR);
    this.#stores.get(key.slice(0, at))?.restore(key.slice(at + 1), value);
  }

  /** The changes since the last call, one per key. */
  takeChanges(): StateChange[] {
    const changes: StateChange[] = [];
    for (const [name, store] of this.#stores) store.takeChanges(`${name}${SEPARATOR}`, changes);
    return changes;
  }
}

class MemoryStore<V> implements Store<V> {
  readonly #entries = new Map<string, V>();
  readonly #changed = new Set<string>();
  readonly #serde: Serde<V>;

  constructor(serde: Serde<V>) {
    this.#serde = serde;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: V): void {
    // At the end, as after a restore: expiry goes by this order.
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#changed.add(key);
  }

  delete(key: string): void {
    if (this.#entries.delete(key)) this.#changed.add(key);
  }

  entries(): IterableIterator<[string, V]> {
    return this.#entries.entries();
  }

  restore(key: string, value: Buffer | null): void {
    // Re-inserted at the end: the order of insertion is the order of the newest change.
    this.#entries.delete(key);
    if (value !== null) this.#entries.set(key, this.#serde.decode(value));
  }

  takeChanges(prefix: string, into: StateChange[]): void {
    for (const key of this.#changed) {
      const value = this.#entries.get(key);
      into.push({
        key: prefix + key,
        value: value === undefined ? null : this.#serde.encode(value),
      });
    }
    this.#changed.clear();
  }
}
