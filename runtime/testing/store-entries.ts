import type { KeyValueStore, SessionStore, TtlStore, WindowStore } from '../state/contract.ts';

/** An entry of a store, for people and assertions. */
export interface StoreEntry {
  readonly partition: number;
  readonly key: string;
  readonly value: unknown;
  /** Of windows: their start, ms of event time. */
  readonly start?: number;
  /** Of TTL stores: event time of the write, ms. */
  readonly at?: number;
}

type AnyStore =
  | KeyValueStore<unknown>
  | TtlStore<unknown>
  | WindowStore<unknown>
  | SessionStore<unknown>;

/** Everything that a store holds, in its order. */
export function entriesOf(name: string, store: AnyStore, partition: number): StoreEntry[] {
  if ('startingBefore' in store) {
    return [...store.startingBefore(Number.MAX_SAFE_INTEGER)].map(({ key, start, value }) => ({
      partition,
      key,
      start,
      value,
    }));
  }
  if ('prefix' in store)
    return [...store.range()].map(([key, value]) => ({ partition, key, value }));
  if ('range' in store) {
    const all = store.range(undefined, undefined, Number.NEGATIVE_INFINITY);
    return [...all].map(([key, value, at]) => ({ partition, key, value, at }));
  }
  throw new Error(`${name} holds sessions: ask the store itself for those of a key`);
}
