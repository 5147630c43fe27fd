import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunk } from './chunk.ts';

describe('chunk', () => {
  it('cuts by items and by bytes, and gives a large item a run of its own', () => {
    const bytesOf = (item: number) => item;
    expect(chunk([1, 1, 1, 1, 1], 2, 100, bytesOf)).toEqual([[1, 1], [1, 1], [1]]);
    expect(chunk([6, 5, 5, 20, 1], 9, 10, bytesOf)).toEqual([[6], [5, 5], [20], [1]]);
    expect(chunk([], 2, 10, bytesOf)).toEqual([]);
  });

  it('loses nothing, keeps order and exceeds the limits only by single items', () => {
    const items = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 100 });
    fc.assert(
      fc.property(
        items,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 60 }),
        (list, n, bytes) => {
          const chunks = chunk(list, n, bytes, (item) => item);
          expect(chunks.flat()).toEqual(list);
          for (const run of chunks) {
            expect(run.length).toBeGreaterThan(0);
            expect(run.length).toBeLessThanOrEqual(n);
            if (run.length > 1) {
              expect(run.reduce((sum, item) => sum + item, 0)).toBeLessThanOrEqual(bytes);
            }
          }
        },
      ),
    );
  });
});
