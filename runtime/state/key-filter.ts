import type { ByteKey } from './backend.ts';

const BITS_PER_KEY = 12;
/** A key's bits are in one block of 64 bytes, a cache line: one miss a look. */
const BLOCK_WORDS = 16;
const BITS = 6;
const FIRST_CAPACITY = 16_384;
/** Of a layer over the one before: each costs a cache miss a look, so few large ones. */
const GROWTH = 8;
/** 6 MB: a larger layer would stand empty for too long. */
const MAX_CAPACITY = 4_194_304;

interface Layer {
  readonly words: Uint32Array;
  readonly blocks: number;
  readonly capacity: number;
  keys: number;
}

/**
 * Says of most keys that a store does not have that it does not have them: a blocked Bloom filter (Putze, Sanders,
 * Singler 2007) in layers, each as large as the one
 * before or larger. Never wrong about a key that was added; of others about 1 in 100 passes. Keys
 * cannot be taken out.
 */
export class KeyFilter {
  #layers: Layer[] = [];

  /** Keys added since the last `clear`. */
  get keys(): number {
    return this.#layers.reduce((sum, { keys }) => sum + keys, 0);
  }

  add(key: ByteKey): void {
    const hash = hashOf(key);
    if (this.#has(hash)) return;
    let layer = this.#layers[0];
    if (layer === undefined || layer.keys >= layer.capacity) {
      layer = newLayer(
        layer === undefined ? FIRST_CAPACITY : Math.min(MAX_CAPACITY, GROWTH * layer.capacity),
      );
      this.#layers.unshift(layer);
    }
    layer.keys += 1;
    const { words } = layer;
    const block = blockOf(hash, layer.blocks);
    let bits = spread(hash);
    for (let bit = 0; bit < BITS; bit += 1) {
      words[block + ((bits >>> 5) & 15)] =
        (words[block + ((bits >>> 5) & 15)] as number) | (1 << (bits & 31));
      bits = Math.imul(bits, 0x9e3779b1) ^ (bits >>> 9);
    }
  }

  /** False only for keys that were not added. */
  mayHave(key: ByteKey): boolean {
    return this.#has(hashOf(key));
  }

  #has(hash: number): boolean {
    for (const { words, blocks } of this.#layers) {
      const block = blockOf(hash, blocks);
      let bits = spread(hash);
      let bit = 0;
      for (; bit < BITS; bit += 1) {
        if (((words[block + ((bits >>> 5) & 15)] as number) & (1 << (bits & 31))) === 0) break;
        bits = Math.imul(bits, 0x9e3779b1) ^ (bits >>> 9);
      }
      if (bit === BITS) return true;
    }
    return false;
  }

  clear(): void {
    this.#layers = [];
  }
}

function newLayer(capacity: number): Layer {
  const blocks = Math.ceil((capacity * BITS_PER_KEY) / (BLOCK_WORDS * 32));
  return { words: new Uint32Array(blocks * BLOCK_WORDS), blocks, capacity, keys: 0 };
}

/** FNV-1a with the last steps of MurmurHash3, which spread it over all bits. */
function hashOf(key: ByteKey): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1)
    hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** First word of a hash's block: its high bits choose, without a division. */
function blockOf(hash: number, blocks: number): number {
  return Math.floor((hash / 0x1_0000_0000) * blocks) * BLOCK_WORDS;
}

/** Another 32 bits of a hash: those that chose the block would choose alike within it. */
function spread(hash: number): number {
  const mixed = Math.imul(hash ^ 0x5bd1e995, 0x27d4eb2f);
  return mixed ^ (mixed >>> 15);
}
