import { jsonSerde, type Store, type StoreSpec } from '../state/store.ts';

interface Expiring<V> {
  readonly v: V;
  /** Event time of the write, ms. */
  readonly at: number;
}

/** Declares the store behind a `TtlMap`. Values must be JSON. */
export function ttlStore<V>(name: string): StoreSpec<Expiring<V>> {
  return { name, serde: jsonSerde<Expiring<V>>() };
}

/** Expired entries that one `evict` removes beside those written since: an epoch stays short after a long gap. */
const EXTRA_EVICTED = 2_000;

/** A key-value store whose entries expire by event time: `ttlMs` after they were written. */
export class TtlMap<V> {
  readonly #store: Store<Expiring<V>>;
  readonly #ttlMs: number;
  #streamTime = 0;
  #written = 0;

  constructor(store: Store<Expiring<V>>, ttlMs: number) {
    this.#store = store;
    this.#ttlMs = ttlMs;
  }

  /** The value, unless it expired before `now` (event time, ms). */
  get(key: string, now: number): V | undefined {
    const entry = this.#store.get(key);
    return entry !== undefined && entry.at + this.#ttlMs > now ? entry.v : undefined;
  }

  set(key: string, value: V, now: number): void {
    this.#streamTime = Math.max(this.#streamTime, now);
    this.#written += 1;
    this.#store.set(key, { v: value, at: now });
  }

  get size(): number {
    return this.#store.size;
  }

  /** Removes entries that have expired by the largest event time written. Call once per epoch. */
  evict(): void {
    const oldest = this.#streamTime - this.#ttlMs;
    // More than were written, so that the store shrinks whatever the load.
    const most = 2 * this.#written + EXTRA_EVICTED;
    this.#written = 0;
    const expired: string[] = [];
    // Oldest first by insertion: the first live entry ends the scan; stragglers behind it go with a later one.
    for (const [key, { at }] of this.#store.entries()) {
      if (at >= oldest || expired.length >= most) break;
      expired.push(key);
    }
    for (const key of expired) this.#store.delete(key);
  }
}

/** Remembers event ids for a time: the first sighting of an id passes, later ones are duplicates. */
export class Deduplicator {
  readonly #seen: TtlMap<1>;

  constructor(store: Store<Expiring<1>>, ttlMs: number) {
    this.#seen = new TtlMap(store, ttlMs);
  }

  /** True when `id` was seen within the TTL before `now` (event time, ms); remembers it otherwise. */
  isDuplicate(id: string, now: number): boolean {
    if (this.#seen.get(id, now) !== undefined) return true;
    this.#seen.set(id, 1, now);
    return false;
  }

  /** Call once per epoch. */
  evict(): void {
    this.#seen.evict();
  }
}
