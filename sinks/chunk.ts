/**
 * Cuts `items` into runs of at most `maxItems` and, as far as single items allow, `maxBytes`.
 * An item larger than `maxBytes` gets a run of its own. Order is kept.
 */
export function chunk<T>(
  items: readonly T[],
  maxItems: number,
  maxBytes: number,
  bytesOf: (item: T) => number,
): readonly (readonly T[])[] {
  const chunks: T[][] = [];
  let current: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = bytesOf(item);
    if (current.length > 0 && (current.length >= maxItems || bytes + size > maxBytes)) {
      chunks.push(current);
      current = [];
      bytes = 0;
    }
    current.push(item);
    bytes += size;
  }
  if (current.length > 0) chunks.push(current);
  return chunks;
}
