import { ReachflowError } from '../../../runtime/errors.ts';

const SHARDS = 4_096;
const REST_BITS = 20;
const REST = 2 ** REST_BITS;
const HIGH_BITS = 12;
/** Record numbers are below this. */
export const MAX_NUMBER = 2 ** (16 + HIGH_BITS) - 1;
const FIRST_CAPACITY = 8;
/** Shares of slots in use at which a shard grows, and by how much. */
const FULL = 0.75;
const GROWTH = 1.25;

/** A slot is empty where both are 0: record numbers begin at 1. */
interface Shard {
  /** The 20 bits of the hash that the shard does not say, and the upper 12 of the number. */
  rests: Uint32Array;
  /** The lower 16 bits of the number. */
  lows: Uint16Array;
  used: number;
}

/**
 * From 32-bit hashes to the numbers of the records that have them: 6 bytes a slot, open addressing in 4,096 shards that grow by
 * themselves, so that there is never a second copy of the whole. It is in memory and derived: what is in it is exactly what the
 * stored records say. The order in which `find` gives numbers depends on history; callers sort.
 */
export class BlockIndex {
  readonly #shards: Shard[] = Array.from({ length: SHARDS }, () => emptyShard(FIRST_CAPACITY));
  #size = 0;

  /** Entries. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of its arrays. */
  get bytes(): number {
    return this.#shards.reduce((sum, { rests }) => sum + 6 * rests.length, 0);
  }

  /**
   * Puts the numbers under `hash` into `target`, up to `limit`, and says how many there were (at most `limit`).
   */
  find(hash: number, limit: number, target: number[]): number {
    const { rests, lows } = this.#shardOf(hash);
    const rest = hash & (REST - 1);
    const capacity = rests.length;
    let found = 0;
    for (let at = homeOf(rest, capacity); ; at = at + 1 === capacity ? 0 : at + 1) {
      const word = rests[at] ?? 0;
      const low = lows[at] ?? 0;
      if (word === 0 && low === 0) return found;
      if (word >>> HIGH_BITS !== rest) continue;
      target.push(((word & 0xfff) << 16) | low);
      found += 1;
      if (found === limit) return found;
    }
  }

  /** @throws ReachflowError `IDENTITY_FULL` for a number over `MAX_NUMBER`. */
  add(hash: number, number: number): void {
    if (number > MAX_NUMBER) throw full();
    const shard = this.#shardOf(hash);
    if (shard.used + 1 > FULL * shard.rests.length) grow(shard);
    put(shard, ((hash & (REST - 1)) << HIGH_BITS) | (number >>> 16), number & 0xffff);
    this.#size += 1;
  }

  /** Removes one entry, if it is there; those behind it move up, so that no search ends early. */
  remove(hash: number, number: number): void {
    const shard = this.#shardOf(hash);
    const { rests, lows } = shard;
    const capacity = rests.length;
    const rest = hash & (REST - 1);
    const wanted = ((rest << HIGH_BITS) | (number >>> 16)) >>> 0;
    let at = homeOf(rest, capacity);
    while (rests[at] !== wanted || lows[at] !== (number & 0xffff)) {
      if (rests[at] === 0 && lows[at] === 0) return;
      at = at + 1 === capacity ? 0 : at + 1;
    }
    let hole = at;
    for (let next = (at + 1) % capacity; ; next = (next + 1) % capacity) {
      const word = rests[next] ?? 0;
      if (word === 0 && lows[next] === 0) break;
      const home = homeOf(word >>> HIGH_BITS, capacity);
      const distance = (next - home + capacity) % capacity;
      if (distance < (next - hole + capacity) % capacity) continue;
      rests[hole] = word;
      lows[hole] = lows[next] ?? 0;
      hole = next;
    }
    rests[hole] = 0;
    lows[hole] = 0;
    shard.used -= 1;
    this.#size -= 1;
  }

  #shardOf(hash: number): Shard {
    const shard = this.#shards[hash >>> REST_BITS];
    if (shard === undefined) throw new Error(`${hash} is no 32-bit hash`);
    return shard;
  }
}

function emptyShard(capacity: number): Shard {
  return { rests: new Uint32Array(capacity), lows: new Uint16Array(capacity), used: 0 };
}

function homeOf(rest: number, capacity: number): number {
  return Math.floor((rest * capacity) / REST);
}

function put(shard: Shard, word: number, low: number): void {
  const { rests, lows } = shard;
  const capacity = rests.length;
  let at = homeOf((word >>> 0) >>> HIGH_BITS, capacity);
  while (rests[at] !== 0 || lows[at] !== 0) at = at + 1 === capacity ? 0 : at + 1;
  rests[at] = word;
  lows[at] = low;
  shard.used += 1;
}

function grow(shard: Shard): void {
  const { rests, lows } = shard;
  const larger = emptyShard(Math.ceil(rests.length * GROWTH));
  for (let at = 0; at < rests.length; at += 1) {
    const word = rests[at] ?? 0;
    const low = lows[at] ?? 0;
    if (word !== 0 || low !== 0) put(larger, word, low);
  }
  Object.assign(shard, larger);
}

function full(): ReachflowError {
  return new ReachflowError(
    `a task of identity knows ${MAX_NUMBER} source records, and takes no more`,
    {
      code: 'IDENTITY_FULL',
      domain: 'user',
      hint: 'Give contact.observed more partitions, and the pipeline a new name, so that it begins anew.',
    },
  );
}
