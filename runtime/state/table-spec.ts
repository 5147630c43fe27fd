import type { StoreDescriptor } from './backend.ts';
import type { Serde } from './serde.ts';

/** How a store keeps its entries. */
export interface TableSpec<V> extends StoreDescriptor {
  readonly serde: Serde<V>;
  /** Entries carry the event time of their write, and are forgotten so many ms later. */
  readonly expiry?: { readonly ttlMs: number; readonly graceMs: number };
  /** Whether decoded values are worth keeping: they are read again soon. */
  readonly cached: boolean;
}
