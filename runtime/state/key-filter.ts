import type { ByteKey } from './backend.ts';

const BITS_PER_KEY = 12;
/** A key's bits are in one block of 64 bytes, a cache line: one miss a look. */
const BLOCK_WORDS = 16;
export const BLOCK_BITS = 32 * BLOCK_WORDS;
/** A key's bits. */
export const BITS = 7;
const FIRST_CAPACITY = 16_384;
/** Of a layer over the one before: each costs a cache miss a look, so few large ones. */
const GROWTH = 8;
/** 6 MB: a larger layer would stand empty for too long. */
const MAX_CAPACITY = 4_194_304;

/** A blocked Bloom filter of a fixed size (Putze, Sanders, Singler 2007). */
export class FilterLayer {
  /** Added to it since it was made here. */
  keys = 0;
  readonly #words: Uint32Array;
  readonly #blocks: number;

  /** @param words as of `bytes`: whole blocks, at least one. */
  constructor(words: Uint32Array) {
    if (words.length === 0 || words.length % BLOCK_WORDS !== 0)
      throw new RangeError(`a filter of ${words.length} words`);
    this.#words = words;
    this.#blocks = words.length / BLOCK_WORDS;
  }

  /** An empty one. @param capacity keys that it is made for, at least one. */
  static sized(capacity: number, bitsPerKey = BITS_PER_KEY): FilterLayer {
    const blocks = Math.ceil((capacity * bitsPerKey) / BLOCK_BITS);
    return new FilterLayer(new Uint32Array(blocks * BLOCK_WORDS));
  }

  /** What it is, to be kept; a view, in this machine's byte order. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer, this.#words.byteOffset, this.#words.byteLength);
  }

  add(hash: number): void {
    this.keys += 1;
    const words = this.#words;
    const block = blockOf(hash, this.#blocks) * BLOCK_WORDS;
    let bits = spread(hash);
    for (let bit = 0; bit < BITS; bit += 1) {
      const at = block + ((bits >>> 5) & 15);
      words[at] = (words[at] as number) | (1 << (bits & 31));
      bits = nextBits(bits);
    }
  }

  has(hash: number): boolean {
    const words = this.#words;
    const block = blockOf(hash, this.#blocks) * BLOCK_WORDS;
    let bits = spread(hash);
    for (let bit = 0; bit < BITS; bit += 1) {
      if (((words[block + ((bits >>> 5) & 15)] as number) & (1 << (bits & 31))) === 0) return false;
      bits = nextBits(bits);
    }
    return true;
  }
}

/**
 * Says of most keys that a store does not have that it does not have them: a blocked Bloom filter in layers, each as
 * large as the one before or larger. Never wrong about a key that was added; of others about 1 in 100 passes. Keys
 * cannot be taken out.
 */
export class KeyFilter {
  #layers: FilterLayer[] = [];
  /** Keys that the newest layer is made for. */
  #capacity = 0;

  /** Keys added since the last `clear`. */
  get keys(): number {
    return this.#layers.reduce((sum, { keys }) => sum + keys, 0);
  }

  add(key: ByteKey): void {
    const hash = hashOf(key);
    if (this.#has(hash)) return;
    let layer = this.#layers[0];
    if (layer === undefined || layer.keys >= this.#capacity) {
      this.#capacity =
        layer === undefined ? FIRST_CAPACITY : Math.min(MAX_CAPACITY, GROWTH * this.#capacity);
      layer = FilterLayer.sized(this.#capacity);
      this.#layers.unshift(layer);
    }
    layer.add(hash);
  }

  /** False only for keys that were not added. */
  mayHave(key: ByteKey): boolean {
    return this.#has(hashOf(key));
  }

  #has(hash: number): boolean {
    for (const layer of this.#layers) if (layer.has(hash)) return true;
    return false;
  }

  clear(): void {
    this.#layers = [];
  }
}

/** FNV-1a with the last steps of MurmurHash3, which spread it over all bits. */
export function hashOf(key: ByteKey): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1)
    hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A hash's block: its high bits choose, without a division. */
export function blockOf(hash: number, blocks: number): number {
  return Math.floor((hash / 0x1_0000_0000) * blocks);
}

/** Another 32 bits of a hash: those that chose the block would choose alike within it. */
export function spread(hash: number): number {
  const mixed = Math.imul(hash ^ 0x5bd1e995, 0x27d4eb2f);
  return mixed ^ (mixed >>> 15);
}

/** The last nine bits say which bit of its block a key has; the next one's after these. */
export function nextBits(bits: number): number {
  return Math.imul(bits, 0x9e3779b1) ^ (bits >>> 9);
}
