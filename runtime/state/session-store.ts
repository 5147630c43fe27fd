import { bytesOfNumber, bytesOfPart, bytesOfText, numberOfBytes, prefixEnd } from './keys.ts';
import type { Serde } from './serde.ts';
import type { StoreOptions, StoreSpec } from './spec.ts';
import type { Table } from './table.ts';

/** A session of a key. */
export interface Session<V> {
  /** Event times of its first and last record, ms. */
  readonly start: number;
  readonly end: number;
  readonly value: V;
}

/** Values by key, start and end, in order of keys, then ends, then starts. Values must not be changed in place. */
export interface SessionStore<V> {
  /** Sessions of a key that have a moment in common with `from` to `to`, both included. */
  overlapping(key: string, from: number, to: number): Session<V>[];
  /** @throws ReachflowError `STATE_KEY_TOO_LONG` (domain user). */
  set(key: string, start: number, end: number, value: V): void;
  delete(key: string, start: number, end: number): void;
}

const NUMBER_BYTES = 8;

/** Declares a session store. */
export function sessionStore<V>(
  name: string,
  serde: Serde<V>,
  { version = 1 }: StoreOptions = {},
): StoreSpec<SessionStore<V>> {
  return {
    name,
    version,
    bind: (open) => new TableSessionStore(open({ name, version, serde, cached: false })),
  };
}

class TableSessionStore<V> implements SessionStore<V> {
  readonly #table: Table<V>;

  constructor(table: Table<V>) {
    this.#table = table;
  }

  overlapping(key: string, from: number, to: number): Session<V>[] {
    const part = bytesOfPart(bytesOfText(key));
    const sessions: Session<V>[] = [];
    for (const entry of this.#table.iterate(part + bytesOfNumber(from), prefixEnd(part))) {
      const start = numberOfBytes(entry.key, entry.key.length - NUMBER_BYTES);
      const end = numberOfBytes(entry.key, entry.key.length - 2 * NUMBER_BYTES);
      if (start <= to) sessions.push({ start, end, value: entry.value });
    }
    return sessions;
  }

  set(key: string, start: number, end: number, value: V): void {
    this.#table.set(sessionKey(key, start, end), value, 0);
  }

  delete(key: string, start: number, end: number): void {
    this.#table.delete(sessionKey(key, start, end));
  }
}

function sessionKey(key: string, start: number, end: number): string {
  return bytesOfPart(bytesOfText(key)) + bytesOfNumber(end) + bytesOfNumber(start);
}
