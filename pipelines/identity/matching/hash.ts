/** 32-bit hashes for signatures and blocks. Their values are in stores: they must stay as they are. */

/** MurmurHash3's finalizer: each bit of the result depends on each of `x`. */
export function mix(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A text's hash, from a seed, so that hashes can be chained. */
export function hashText(text: string, seed = 0): number {
  let h = seed ^ 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  }
  return mix(h ^ text.length);
}
