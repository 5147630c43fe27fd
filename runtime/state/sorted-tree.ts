import { createRequire } from 'node:module';
import type { ByteKey } from './backend.ts';

// The package is CommonJS with a `default` property, which Node and bundlers import differently.
const library = createRequire(import.meta.url)('sorted-btree') as typeof import('sorted-btree');

/** A B+ tree in memory, in order of keys. */
export type SortedTree<V> = InstanceType<typeof library.default<ByteKey, V>>;

/** An empty tree. */
export function sortedTree<V>(): SortedTree<V> {
  return new library.default<ByteKey, V>(undefined, library.simpleComparator);
}
