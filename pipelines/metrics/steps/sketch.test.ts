import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addToSketch,
  binsOf,
  emptySketch,
  LEAST_MS,
  MOST_MS,
  mergeSketches,
  quantileOf,
  RELATIVE_ACCURACY,
  sketchSerde,
} from './sketch.ts';

/** Durations over the whole range, as often small as large. */
const duration = fc.oneof(
  fc.constantFrom(0, LEAST_MS, MOST_MS),
  fc.double({ min: Math.log(LEAST_MS), max: Math.log(MOST_MS), noNaN: true }).map(Math.exp),
);
const durations = fc.array(duration, { minLength: 1, maxLength: 200 });

function sketch(values: readonly number[]) {
  return values.reduce((all, value) => addToSketch(all, value), emptySketch());
}

/** Of n values the one at rank ⌊q (n - 1)⌋. */
function exact(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN;
}

describe('a sketch of durations', () => {
  it('has quantiles within 1 % of the exact ones, whatever it was merged from', () => {
    fc.assert(
      fc.property(durations, durations, (a, b) => {
        const merged = mergeSketches(sketch(a), sketch(b));
        for (const quantile of [0, 0.5, 0.95, 0.99, 1]) {
          const wanted = exact([...a, ...b], quantile);
          const found = quantileOf(merged, quantile);
          // Beside the bound, what a double cannot say, and what is counted as 0.
          const most = wanted * (RELATIVE_ACCURACY + 1e-9) + (wanted <= LEAST_MS ? LEAST_MS : 0);
          expect(Math.abs(found - wanted)).toBeLessThanOrEqual(most);
        }
      }),
    );
  });

  it('is the same bytes whatever order its values came in and however they were merged', () => {
    fc.assert(
      fc.property(durations, fc.nat(), fc.nat(), (values, cut, seed) => {
        const at = cut % values.length;
        const shuffled = [...values].sort((a, b) => ((a + seed) % 7) - ((b + seed) % 7));
        const merged = mergeSketches(sketch(shuffled.slice(at)), sketch(shuffled.slice(0, at)));
        const bytes = sketchSerde.encode(sketch(values));
        expect(sketchSerde.encode(merged)).toEqual(bytes);
        expect(sketchSerde.encode(sketchSerde.decode(bytes))).toEqual(bytes);
      }),
    );
  });

  it('leaves what it is merged from as it was', () => {
    const [a, b] = [sketch([1, 2]), sketch([0, 300])];
    const before = [sketchSerde.encode(a), sketchSerde.encode(b)];
    addToSketch(mergeSketches(a, b), 7);
    expect([sketchSerde.encode(a), sketchSerde.encode(b)]).toEqual(before);
  });

  it('has as many bins at most as its range allows', () => {
    const least = binsOf(sketch([LEAST_MS * 1.000001])).bins[0] ?? 0;
    const most = binsOf(sketch([MOST_MS])).bins[0] ?? 0;
    expect(most - least + 1).toBe(1_260);
  });

  it('refuses bytes that are no sketch', () => {
    expect(() => sketchSerde.decode(Buffer.alloc(9))).toThrow(/9 bytes/);
  });
});
