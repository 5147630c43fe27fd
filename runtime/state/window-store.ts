import {
  bytesOfNumber,
  bytesOfText,
  numberOfBytes,
  prefixEnd,
  successor,
  textOfBytes,
} from './keys.ts';
import type { Serde } from './serde.ts';
import type { StoreOptions, StoreSpec } from './spec.ts';
import type { Table } from './table.ts';

/** A value of a key in a window. */
export interface WindowEntry<V> {
  readonly key: string;
  /** Start of the window, ms of event time. */
  readonly start: number;
  readonly value: V;
}

/**
 * Values by key and window start, in order of starts, then keys' UTF-8 bytes. All iterations allow setting and
 * deleting, as `KeyValueStore.range` does. Values must not be changed in place.
 */
export interface WindowStore<V> {
  get(key: string, start: number): V | undefined;
  /** @throws ReachflowError `STATE_KEY_TOO_LONG` (domain user). */
  set(key: string, start: number, value: V): void;
  delete(key: string, start: number): void;
  /** Windows that start before `bound`, oldest first. */
  startingBefore(bound: number): Iterable<WindowEntry<V>>;
  startingAt(start: number): Iterable<WindowEntry<V>>;
  /** Windows of a key that start from `fromStart` up to and including `toStart`. Looks at each start there is between. */
  fetch(key: string, fromStart: number, toStart: number): Iterable<WindowEntry<V>>;
}

const START_BYTES = 8;

/** Declares a window store. */
export function windowStore<V>(
  name: string,
  serde: Serde<V>,
  { version = 1 }: StoreOptions = {},
): StoreSpec<WindowStore<V>> {
  return {
    name,
    version,
    bind: (open) => new TableWindowStore(open({ name, version, serde, cached: true })),
  };
}

class TableWindowStore<V> implements WindowStore<V> {
  readonly #table: Table<V>;

  constructor(table: Table<V>) {
    this.#table = table;
  }

  get(key: string, start: number): V | undefined {
    return this.#table.get(bytesOfNumber(start) + bytesOfText(key));
  }

  set(key: string, start: number, value: V): void {
    this.#table.set(bytesOfNumber(start) + bytesOfText(key), value, 0);
  }

  delete(key: string, start: number): void {
    this.#table.delete(bytesOfNumber(start) + bytesOfText(key));
  }

  startingBefore(bound: number): Iterable<WindowEntry<V>> {
    return this.#entries('', bytesOfNumber(bound));
  }

  startingAt(start: number): Iterable<WindowEntry<V>> {
    const bytes = bytesOfNumber(start);
    return this.#entries(bytes, prefixEnd(bytes));
  }

  *fetch(
    key: string,
    fromStart: number,
    toStart: number,
  ): Generator<WindowEntry<V>, void, undefined> {
    const bytes = bytesOfText(key);
    let from = bytesOfNumber(fromStart) + bytes;
    const to = bytesOfNumber(toStart) + successor(bytes);
    // Starts are no grid that the store knows: each step goes to the next start that any key has.
    while (from < to) {
      const [found] = firstOf(this.#table.iterate(from, to));
      if (found === undefined) return;
      const start = numberOfBytes(found.key, 0);
      const wanted = found.key.slice(0, START_BYTES) + bytes;
      if (found.key === wanted) yield { key, start, value: found.value };
      from = found.key < wanted ? wanted : successor(found.key);
      if (found.key > wanted) from = `${prefixEnd(found.key.slice(0, START_BYTES)) ?? to}`;
    }
  }

  *#entries(from: string, to: string | undefined): Generator<WindowEntry<V>, void, undefined> {
    for (const { key, value } of this.#table.iterate(from, to)) {
      yield { key: textOfBytes(key.slice(START_BYTES)), start: numberOfBytes(key, 0), value };
    }
  }
}

function firstOf<T>(iterable: Iterable<T>): [T] | [undefined] {
  for (const item of iterable) return [item];
  return [undefined];
}
