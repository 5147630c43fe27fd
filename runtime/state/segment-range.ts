import type { ByteKey, StoredEntry } from './backend.ts';
import type { Segment } from './segment.ts';

/**
 * Up to `limit` entries of several segments in order of keys; of a key that is in several, the first segment's. Those
 * that are deleted are passed over. @throws ReachflowError `STATE_CORRUPT`.
 */
export function mergedRange(
  newestFirst: readonly Segment[],
  range: { readonly from: ByteKey; readonly to: ByteKey | undefined; readonly limit: number },
): StoredEntry[] {
  const { from, to, limit } = range;
  const open: Iterator<StoredEntry>[] = [];
  try {
    for (const segment of newestFirst) open.push(segment.range(from, to)[Symbol.iterator]());
    return merge(open, limit);
  } finally {
    // Their cursors would stay open.
    for (const iterator of open) iterator.return?.();
  }
}

function merge(iterators: readonly Iterator<StoredEntry>[], limit: number): StoredEntry[] {
  const heads = iterators.map((iterator) => next(iterator));
  const entries: StoredEntry[] = [];
  while (entries.length < limit) {
    let first: StoredEntry | undefined;
    for (const head of heads)
      if (head !== undefined && (first === undefined || head.key < first.key)) first = head;
    if (first === undefined) break;
    const { key, value } = first;
    if (value.length > 0) entries.push({ key, value });
    for (let index = 0; index < heads.length; index += 1) {
      const iterator = iterators[index];
      if (heads[index]?.key === key && iterator !== undefined) heads[index] = next(iterator);
    }
  }
  return entries;
}

function next(iterator: Iterator<StoredEntry>): StoredEntry | undefined {
  const { done, value } = iterator.next();
  return done === true ? undefined : (value as StoredEntry);
}
