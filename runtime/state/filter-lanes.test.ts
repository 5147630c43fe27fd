import { describe, expect, it } from 'vitest';
import { FilterLanes, type Lane } from './filter-lanes.ts';
import { FilterLayer, hashOf } from './key-filter.ts';

const KEYS = 300;
const hashes = (run: number) =>
  Array.from({ length: KEYS }, (_, index) => hashOf(`run ${run}, key ${index}`));

/** A filter for itself, of 12 bits a key or of twice as many. */
function filterOf(run: number): FilterLayer {
  const filter = FilterLayer.sized(KEYS * (run % 3 === 0 ? 2 : 1));
  for (const hash of hashes(run)) filter.add(hash);
  return filter;
}

const wordsOf = ({ bytes }: FilterLayer) =>
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/** Some that no filter has. */
const others = Array.from({ length: 2_000 }, (_, index) => hashOf(`other ${index}`));

describe('filters side by side', () => {
  it('say what each would say for itself, while some come and go', () => {
    const lanes = new FilterLanes();
    const known = new Map<Lane, { readonly run: number; readonly filter: FilterLayer }>();
    const check = () => {
      const looked = [...known.values()].flatMap(({ run }) => hashes(run).slice(0, 20));
      for (const hash of [...looked, ...others]) {
        const expected = [...known].filter(([, { filter }]) => filter.has(hash));
        const found = lanes.find(hash);
        expect(new Set(found)).toEqual(new Set(expected.map(([lane]) => lane)));
        expect(found).toHaveLength(expected.length);
      }
    };
    // More than one sheet of the length that two in three have.
    for (let run = 0; run < 70; run += 1) {
      const filter = filterOf(run);
      known.set(lanes.add(wordsOf(filter)), { run, filter });
      if (run % 4 === 3) {
        const [gone] = known.keys();
        gone?.release();
        if (gone !== undefined) known.delete(gone);
      }
      if ([0, 7, 12, 40, 69].includes(run)) check();
    }
    for (const [lane, { run }] of known) {
      for (const hash of hashes(run)) expect(lane.mayHave(hash)).toBe(true);
      expect(others.filter((hash) => lane.mayHave(hash)).length).toBeLessThan(100);
      lane.release();
    }
    for (const hash of others) expect(lanes.find(hash)).toEqual([]);
  });

  it('does not take out the filter that came in place of one which is released twice', () => {
    const lanes = new FilterLanes();
    const first = lanes.add(wordsOf(filterOf(1)));
    lanes.add(wordsOf(filterOf(2)));
    first.release();
    const next = lanes.add(wordsOf(filterOf(4)));
    first.release();
    for (const hash of hashes(4)) expect(lanes.find(hash)).toContain(next);
  });
});
