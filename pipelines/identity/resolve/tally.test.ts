import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Tally } from './tally.ts';

describe('Tally', () => {
  it('adds up as a Map does, round after round', () => {
    const additions = fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.constantFrom(1, 2)), {
      maxLength: 64,
    });
    const tally = new Tally(64);
    fc.assert(
      fc.property(additions, (added) => {
        tally.clear();
        const sums = new Map<number, number>();
        for (const [number, worth] of added) {
          tally.add(number, worth);
          sums.set(number, (sums.get(number) ?? 0) + worth);
        }
        expect(tally.reaching(2)).toEqual([...sums].filter(([, sum]) => sum >= 2).map(([n]) => n));
      }),
    );
  });

  it('says so when it is full', () => {
    const tally = new Tally(2);
    expect(() => {
      for (let number = 1; number < 9; number += 1) tally.add(number, 1);
    }).toThrow(RangeError);
  });
});
