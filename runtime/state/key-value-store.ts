import { bytesOfText, prefixEnd, textOfBytes } from './keys.ts';
import type { Serde } from './serde.ts';
import type { StoreOptions, StoreSpec } from './spec.ts';
import type { Table } from './table.ts';

/** Entries by key, in order of the keys' UTF-8 bytes. Values must not be changed in place. */
export interface KeyValueStore<V> {
  get(key: string): V | undefined;
  /** @throws ReachflowError `STATE_KEY_TOO_LONG` (domain user). */
  set(key: string, value: V): void;
  delete(key: string): void;
  /**
   * Keys from `from` up to, not including, `to`; all by default. Setting and deleting while it runs is allowed:
   * what changes ahead of it is seen, what changes behind it is not.
   */
  range(from?: string, to?: string): Iterable<[string, V]>;
  /** Keys that begin with `prefix`; as `range`. */
  prefix(prefix: string): Iterable<[string, V]>;
}

/** Declares a key-value store. */
export function keyValueStore<V>(
  name: string,
  serde: Serde<V>,
  { version = 1 }: StoreOptions = {},
): StoreSpec<KeyValueStore<V>> {
  return {
    name,
    version,
    bind: (open) => new TableKeyValueStore(open({ name, version, serde, cached: true })),
  };
}

class TableKeyValueStore<V> implements KeyValueStore<V> {
  readonly #table: Table<V>;

  constructor(table: Table<V>) {
    this.#table = table;
  }

  get(key: string): V | undefined {
    return this.#table.get(bytesOfText(key));
  }

  set(key: string, value: V): void {
    this.#table.set(bytesOfText(key), value, 0);
  }

  delete(key: string): void {
    this.#table.delete(bytesOfText(key));
  }

  range(from = '', to?: string): Iterable<[string, V]> {
    return this.#entries(bytesOfText(from), to === undefined ? undefined : bytesOfText(to));
  }

  prefix(prefix: string): Iterable<[string, V]> {
    const bytes = bytesOfText(prefix);
    return this.#entries(bytes, prefixEnd(bytes));
  }

  *#entries(from: string, to: string | undefined): Generator<[string, V], void, undefined> {
    for (const { key, value } of this.#table.iterate(from, to)) yield [textOfBytes(key), value];
  }
}
