import { describe, expect, it } from 'vitest';
import { mix } from '../matching/hash.ts';
import { BlockIndex, MAX_NUMBER } from './block-index.ts';

function found(index: BlockIndex, hash: number, limit = 100): number[] {
  const numbers: number[] = [];
  expect(index.find(hash, limit, numbers)).toBe(numbers.length);
  return numbers.sort((a, b) => a - b);
}

describe('the index of blocks', () => {
  it('is a map from hashes to sets of numbers, whatever is added and removed', () => {
    const index = new BlockIndex();
    const model = new Map<number, Set<number>>();
    // Hashes of few shards, so that runs are long, collide and wrap around.
    const hashOf = (n: number) => (((n % 3) << 20) | (mix(n) & 0x3f)) >>> 0;
    for (let step = 1; step <= 20_000; step += 1) {
      const hash = hashOf(mix(step) % 150);
      const number = 1 + (mix(step * 7) % 40);
      const members = model.get(hash) ?? new Set<number>();
      model.set(hash, members);
      if (members.has(number)) {
        index.remove(hash, number);
        members.delete(number);
      } else {
        index.add(hash, number);
        members.add(number);
      }
    }
    let size = 0;
    for (const [hash, members] of model) {
      expect(found(index, hash)).toEqual([...members].sort((a, b) => a - b));
      size += members.size;
    }
    expect(index.size).toBe(size);
  });

  it('keeps whole hashes and numbers', () => {
    const index = new BlockIndex();
    for (const hash of [1, 0x80000000, 0xffffffff, 0xfff00000, 0x000fffff]) {
      index.add(hash, MAX_NUMBER);
      index.add(hash, 65_536);
      expect(found(index, hash)).toEqual([65_536, MAX_NUMBER]);
    }
    expect(() => index.add(1, MAX_NUMBER + 1)).toThrow(/takes no more/);
  });

  it('stops at the limit, and forgives the removal of what is not there', () => {
    const index = new BlockIndex();
    for (let number = 1; number <= 10; number += 1) index.add(7, number);
    expect(found(index, 7, 4)).toHaveLength(4);
    index.remove(7, 11);
    index.remove(8, 1);
    expect(index.size).toBe(10);
  });

  it('takes 6 bytes a slot, and has at most about twice the slots it needs', () => {
    const index = new BlockIndex();
    for (let number = 1; number <= 400_000; number += 1) index.add(mix(number), number);
    expect(index.bytes / index.size).toBeLessThan(12);
  });
});
