import { describe, expect, it } from 'vitest';
import { HashSet } from './hash-set.ts';
import { hashOf } from './key-filter.ts';

describe('HashSet', () => {
  it('has every hash that was added, however often it grew, and no other', () => {
    const set = new HashSet();
    const known = new Set<number>();
    for (let index = 0; index < 200_000; index += 1) {
      const hash = hashOf(`id-${index % 150_000}`);
      set.add(hash);
      known.add(hash);
    }
    for (const hash of known) if (!set.has(hash)) expect.unreachable(`${hash} is missing`);
    for (let index = 0; index < 100_000; index += 1) {
      const hash = hashOf(`other-${index}`);
      if (set.has(hash) !== known.has(hash)) expect.unreachable(`${hash} was not added`);
    }
  });

  it('has the hash 0, too, which is as good as 1', () => {
    const set = new HashSet();
    expect([set.has(0), set.has(1)]).toEqual([false, false]);
    set.add(0);
    expect([set.has(0), set.has(2 ** 32 - 1)]).toEqual([true, false]);
    set.add(2 ** 32 - 1);
    expect(set.has(2 ** 32 - 1)).toBe(true);
  });
});
