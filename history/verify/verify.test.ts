import { describe, expect, it } from 'vitest';
import type { Head } from '../head.ts';
import { headFromJson, headToJson, isSound } from '../head.ts';
import { Frontier } from '../merkle/frontier.ts';
import { type Hash, leafHash } from '../merkle/hash.ts';
import { anchor } from './anchor.ts';
import { conclude } from './conclude.ts';
import { type OffsetAccount, OffsetCounter } from './offsets.ts';
import { TreeCheck } from './tree-check.ts';

const leaf = (text: string): Hash => leafHash(Buffer.from(`\u0000${text}`));
const LEAVES = Array.from({ length: 100 }, (_, i) => leaf(`record ${i}`));
const EMPTY = { size: 0, nodes: [] };
const NO_GAPS: OffsetAccount = { markers: 0, aborted: 0, compacted: 0, missing: 0, holes: [] };

function headAt(size: number): Head {
  const tree = new Frontier();
  for (const each of LEAVES.slice(0, size)) tree.append(each);
  const place = { topic: 't', partition: 0, topicId: 'id', origin: 0n, nextOffset: BigInt(size) };
  return { ...place, root: tree.root(), frontier: tree.state(), recordedAt: 1, by: 'verify' };
}

const HEADS = [30, 60, 100].map(headAt);

/** Records by their offsets, against heads. */
function check(
  records: readonly (readonly [offset: number, leaf: Hash])[],
  heads: readonly Head[],
) {
  const tree = new TreeCheck(heads, 0n, EMPTY);
  for (const [offset, each] of records) tree.append(each, BigInt(offset));
  tree.reached(100n);
  return tree.stretches;
}

const whole = LEAVES.map((each, i) => [i, each] as const);

describe('records against recorded heads', () => {
  it('are proven when they are the same', () => {
    expect(check(whole, HEADS).map(({ state }) => state)).toEqual(['proven', 'proven', 'proven']);
  });

  it.each([
    ['altered', whole.with(40, [40, leaf('other')]), 'RECORDS_ALTERED'],
    [
      'swapped',
      whole.with(40, [40, LEAVES[41] ?? '']).with(41, [41, LEAVES[40] ?? '']),
      'RECORDS_ALTERED',
    ],
    ['dropped', whole.toSpliced(40, 1), 'RECORDS_MISSING'],
    ['added', whole.toSpliced(40, 0, [40, leaf('more')]), 'RECORDS_ADDED'],
  ] as const)('%s: only the stretch between two heads is refuted', (_what, records, code) => {
    const stretches = check(records, HEADS);
    expect(stretches.map(({ state }) => state)).toEqual(['proven', 'altered', 'proven']);
    const { faults, proven } = conclude(stretches, NO_GAPS, false);
    expect(faults).toMatchObject([{ code, from: 30n, to: 60n }]);
    expect(proven).toEqual([
      { from: 0n, to: 30n },
      { from: 60n, to: 100n },
    ]);
  });

  it('show that a head was altered where the records lead past it', () => {
    const [first, second, third] = HEADS;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('three heads');
    const forged = { ...second, root: first.root, frontier: first.frontier };
    const stretches = check(whole, [first, forged, third]);
    expect(stretches.map(({ state }) => state)).toEqual(['proven', 'head', 'proven']);
    expect(conclude(stretches, NO_GAPS, false).faults).toMatchObject([
      { code: 'HEAD_ALTERED', from: 60n },
    ]);
  });

  it('may be fewer in a compacted topic, as far as offsets account for them', () => {
    const thinned = check(whole.toSpliced(40, 2), HEADS);
    const account = { ...NO_GAPS, compacted: 2 };
    expect(conclude(thinned, account, true)).toMatchObject({
      faults: [],
      thinned: [{ from: 30n, to: 60n }],
    });
    // One more is missing than compaction took.
    expect(conclude(thinned, { ...NO_GAPS, compacted: 1 }, true).faults).toHaveLength(1);
    // Compaction takes records away; it does not alter them.
    const altered = check(whole.with(40, [40, leaf('other')]), HEADS);
    expect(conclude(altered, account, true).faults).toHaveLength(1);
  });
});

describe('offsets without records', () => {
  it('are told apart by what their batches say', () => {
    const counter = new OffsetCounter(10n, 100n);
    counter.add([
      { kind: 'records', first: 5, last: 19, count: 15 },
      { kind: 'marker', first: 20, last: 20, count: 1 },
      { kind: 'aborted', first: 21, last: 29, count: 9 },
      { kind: 'marker', first: 30, last: 30, count: 1 },
      { kind: 'records', first: 31, last: 40, count: 7 },
      { kind: 'records', first: 45, last: 120, count: 76 },
    ]);
    expect(counter.account(100n)).toEqual({
      ...{ markers: 2, aborted: 9, compacted: 3, missing: 4 },
      holes: [{ from: 41n, to: 45n }],
    });
  });

  it('are a fault where nothing but compaction makes them, and the topic has none', () => {
    const holes = [{ from: 41n, to: 45n }];
    const account = { ...NO_GAPS, missing: 4, holes };
    expect(conclude([], account, false).faults).toMatchObject([
      { code: 'OFFSETS_MISSING', ...holes[0] },
    ]);
    expect(conclude([], account, true).faults).toEqual([]);
  });
});

describe('where a verification begins and ends', () => {
  const at = { heads: HEADS, low: 0n, end: 120n, isExtended: false, isNewOnly: false };

  it('is at heads around what is asked for', () => {
    expect(anchor(at)).toMatchObject({ from: 0n, to: 100n, start: { size: 0 } });
    expect(anchor({ ...at, from: 45n, to: 50n })).toMatchObject({
      from: 30n,
      to: 60n,
      start: { size: 30 },
    });
  });

  it('is at the first head that retention has left', () => {
    expect(anchor({ ...at, low: 31n })).toMatchObject({ from: 60n, start: { size: 60 } });
    expect(anchor({ ...at, low: 101n })).toMatchObject({ from: 101n, heads: [], origin: 101n });
  });

  it('goes on behind the last head to record it', () => {
    expect(anchor({ ...at, isExtended: true })).toMatchObject({ from: 0n, to: 120n });
    expect(anchor({ ...at, isExtended: true, isNewOnly: true })).toMatchObject({
      from: 100n,
      to: 120n,
    });
  });
});

describe('a head', () => {
  it('comes back as it was from JSON, and is refused when it is none', () => {
    for (const head of HEADS)
      expect(headFromJson(JSON.parse(JSON.stringify(headToJson(head))))).toEqual(head);
    expect(() => headFromJson({ format: 'other' })).toThrow(
      expect.objectContaining({ code: 'HISTORY_HEAD_INVALID' }),
    );
  });

  it('is sound only as a whole', () => {
    const [first, second] = HEADS;
    if (first === undefined || second === undefined) throw new Error('heads');
    expect(isSound(first)).toBe(true);
    expect(isSound({ ...first, root: second.root })).toBe(false);
    expect(isSound({ ...first, frontier: { size: 31, nodes: first.frontier.nodes } })).toBe(false);
  });
});
