import { describe, expect, it } from 'vitest';
import {
  type EntryState,
  parseRetryMetadata,
  RETRY_SPAN,
  type RetryPosition,
  relevantFences,
  retryMetadata,
} from './retry-position.ts';

const BASE = 9_007_199_254_740_993n;
const NOTHING: RetryPosition = { fences: [], plan: undefined, states: new Map() };

function states(of: (i: number) => EntryState | undefined, count: number): RetryPosition['states'] {
  const all = Array.from({ length: count }, (_, i) => [BASE + BigInt(i), of(i)] as const);
  return new Map(all.flatMap(([offset, state]) => (state === undefined ? [] : [[offset, state]])));
}

describe('the metadata of a retry topic’s offset', () => {
  it('brings back what was committed: fences, the plan, and the state of each entry', () => {
    const position: RetryPosition = {
      fences: [
        { epoch: 1_800_000_000_000, offset: BASE },
        { epoch: 1_800_000_000_001, offset: BASE + 7n },
      ],
      plan: 'a-Name_of-27-characters-1234',
      states: states((i) => {
        if (i % 5 === 0) return { isResolved: true, isPlanned: false, attempts: 0 };
        if (i % 7 === 0) return { isResolved: false, isPlanned: true, attempts: i % 20 };
        return i % 11 === 0 ? { isResolved: false, isPlanned: false, attempts: 20 } : undefined;
      }, 400),
    };
    expect(parseRetryMetadata(BASE, retryMetadata(BASE, position))).toEqual(position);
  });

  it('is what a broker takes, however little entries that follow each other have in common', () => {
    const worst = retryMetadata(BASE, {
      fences: Array.from({ length: 100 }, (_, i) => ({
        epoch: 1_800_000_000_000 + i,
        offset: BASE + BigInt(i),
      })),
      plan: 'x'.repeat(27),
      states: states(
        (i) => ({ isResolved: i % 2 === 0, isPlanned: i % 3 === 0, attempts: 3 }),
        2 * RETRY_SPAN,
      ),
    });
    // What remains is for the topic's id.
    expect(Buffer.byteLength(worst)).toBeLessThan(4_096 - 64);
  });

  it('is short where nothing waits, or runs of entries have the same state', () => {
    expect(retryMetadata(5n, NOTHING)).toBe('f:');
    const planned = states(() => ({ isResolved: false, isPlanned: true, attempts: 0 }), 3_000);
    expect(retryMetadata(BASE, { ...NOTHING, plan: 'p', states: planned }).length).toBeLessThan(20);
  });

  it('says nothing where somebody else wrote it', () => {
    for (const text of ['', 'plan:17', 'f:nonsense;s:', '\u0000']) {
      expect(parseRetryMetadata(3n, text)).toEqual(NOTHING);
    }
  });

  it('keeps the fences that still stand before something', () => {
    const fences = [2n, 4n, 6n].map((offset, i) => ({ epoch: i + 1, offset }));
    expect(relevantFences(fences, 1n)).toEqual(fences);
    expect(relevantFences(fences, 5n)).toEqual(fences.slice(1));
    expect(relevantFences(fences, 6n)).toEqual(fences.slice(2));
  });
});
