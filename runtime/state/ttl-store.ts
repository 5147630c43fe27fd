import { bytesOfText, textOfBytes } from './keys.ts';
import type { Serde } from './serde.ts';
import type { StoreOptions, StoreSpec } from './spec.ts';
import type { Table } from './table.ts';

/**
 * Entries that are forgotten `ttlMs` of event time after they were written. `nowMs` is the event time of whoever
 * asks: an entry written at `t` is there while `t + ttlMs > nowMs`. For someone who is more than `graceMs` behind the
 * task's watermark it may be gone earlier: once `t + ttlMs + graceMs` is behind the watermark.
 */
export interface TtlStore<V> {
  get(key: string, nowMs: number): V | undefined;
  /** As `get(…) !== undefined`, without decoding the value. */
  has(key: string, nowMs: number): boolean;
  /** @throws ReachflowError `STATE_KEY_TOO_LONG` (domain user). */
  set(key: string, value: V, nowMs: number): void;
  delete(key: string): void;
  /** As of `KeyValueStore`, with the event time of each write. */
  range(
    from: string | undefined,
    to: string | undefined,
    nowMs: number,
  ): Iterable<[key: string, value: V, atMs: number]>;
}

export interface TtlOptions<V> extends StoreOptions {
  /** ms of event time. */
  readonly ttlMs: number;
  readonly serde: Serde<V>;
  /** How far behind the watermark records are answered exactly, ms; default an hour, or the TTL if that is shorter. */
  readonly graceMs?: number;
}

const HOUR_MS = 3_600_000;

/** Declares a store whose entries expire by event time. */
export function ttlStore<V>(
  name: string,
  { ttlMs, serde, version = 1, graceMs = Math.min(ttlMs, HOUR_MS) }: TtlOptions<V>,
): StoreSpec<TtlStore<V>> {
  if (!(ttlMs > 0)) throw new Error(`store ${name}: ttlMs is ${ttlMs}, but has to be above 0`);
  const expiry = { ttlMs, graceMs };
  return {
    name,
    version,
    ttlMs,
    bind: (open) => new TableTtlStore(open({ name, version, ttlMs, serde, expiry, cached: false })),
  };
}

class TableTtlStore<V> implements TtlStore<V> {
  readonly #table: Table<V>;

  constructor(table: Table<V>) {
    this.#table = table;
  }

  has(key: string, nowMs: number): boolean {
    const at = this.#table.timeOf(bytesOfText(key));
    return !Number.isNaN(at) && !this.#table.isExpired(at, nowMs);
  }

  get(key: string, nowMs: number): V | undefined {
    const bytes = bytesOfText(key);
    const at = this.#table.timeOf(bytes);
    if (Number.isNaN(at) || this.#table.isExpired(at, nowMs)) return undefined;
    return this.#table.get(bytes);
  }

  set(key: string, value: V, nowMs: number): void {
    this.#table.set(bytesOfText(key), value, nowMs);
  }

  delete(key: string): void {
    this.#table.delete(bytesOfText(key));
  }

  *range(
    from: string | undefined,
    to: string | undefined,
    nowMs: number,
  ): Generator<[string, V, number], void, undefined> {
    const end = to === undefined ? undefined : bytesOfText(to);
    for (const { key, value, at } of this.#table.iterate(bytesOfText(from ?? ''), end)) {
      if (!this.#table.isExpired(at, nowMs)) yield [textOfBytes(key), value, at];
    }
  }
}
