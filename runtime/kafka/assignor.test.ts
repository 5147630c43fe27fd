import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AssignmentMember, assignPartitions } from './assignor.ts';

const PARTITIONS = 24;
const numbers = fc.uniqueArray(fc.nat(PARTITIONS + 4), { maxLength: PARTITIONS });
/** Whatever members may claim: several the same, partitions that do not exist, anything. */
const members = fc.uniqueArray(
  fc.record({
    id: fc.string({ minLength: 1, maxLength: 3 }),
    owned: numbers,
    generation: fc.integer({ min: -1, max: 5 }),
    warm: numbers,
  }),
  { selector: ({ id }) => id, minLength: 1, maxLength: 9 },
);

const member = (id: string, more: Partial<AssignmentMember> = {}): AssignmentMember => ({
  id,
  owned: [],
  generation: 0,
  warm: [],
  ...more,
});
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Members as they come to the next rebalance, holding what they were assigned. */
const next = (assigned: ReadonlyMap<string, readonly number[]>, generation: number) =>
  [...assigned].map(([id, owned]) => member(id, { owned, generation }));

function moved(
  before: ReadonlyMap<string, readonly number[]>,
  after: ReadonlyMap<string, readonly number[]>,
): number {
  return [...after].reduce(
    (sum, [id, held]) => sum + held.filter((p) => !before.get(id)?.includes(p)).length,
    0,
  );
}

describe('assignPartitions', () => {
  it('gives each partition to exactly one member, evenly, whatever members claim', () => {
    fc.assert(
      fc.property(members, fc.nat(PARTITIONS), (list, partitions) => {
        const assigned = assignPartitions(list, partitions);
        expect([...assigned.keys()].toSorted()).toEqual(list.map(({ id }) => id).toSorted());
        const all = [...assigned.values()].flat();
        expect(all.toSorted((a, b) => a - b)).toEqual(range(partitions));
        const sizes = [...assigned.values()].map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 1_000 },
    );
  });

  it('does not depend on the order of members', () => {
    fc.assert(
      fc.property(members, fc.nat(PARTITIONS), (list, partitions) => {
        const [one, other] = [list, list.toReversed()].map((l) => assignPartitions(l, partitions));
        expect(new Map([...(one ?? [])].toSorted())).toEqual(
          new Map([...(other ?? [])].toSorted()),
        );
      }),
    );
  });

  it('moves nothing when nothing changed', () => {
    fc.assert(
      fc.property(members, fc.nat(PARTITIONS), (list, partitions) => {
        const before = assignPartitions(list, partitions);
        expect(moved(before, assignPartitions(next(before, 7), partitions))).toBe(0);
      }),
    );
  });

  it('moves no more than has to move when members join and leave', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.nat(8),
        fc.nat(4),
        fc.nat(PARTITIONS),
        (count, leaving, joining, partitions) => {
          const before = assignPartitions(
            range(count).map((i) => member(`m${i}`)),
            partitions,
          );
          const stay = next(before, 1).slice(Math.min(leaving, count));
          const list = [
            ...stay,
            ...range(joining).map((i) => member(`new${i}`, { generation: -1 })),
          ];
          if (list.length === 0) return;
          const after = assignPartitions(list, partitions);
          const orphans = partitions - stay.reduce((sum, { owned }) => sum + owned.length, 0);
          // Owners keep as much as the shares allow: the larger ones go to whoever holds more than the others.
          const base = Math.floor(partitions / list.length);
          const over = stay.filter(({ owned }) => owned.length > base).length;
          const kept =
            stay.reduce((sum, { owned }) => sum + Math.min(owned.length, base), 0) +
            Math.min(over, partitions % list.length);
          expect(moved(before, after)).toBe(partitions - kept);
          expect(partitions - kept).toBeGreaterThanOrEqual(orphans);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('lets the newer of two claims have a partition', () => {
    const claims = [
      member('a', { owned: [0, 1, 2, 3], generation: 4 }),
      member('b', { owned: [0, 1], generation: 5 }),
    ];
    expect(assignPartitions(claims, 4)).toEqual(
      new Map([
        ['a', [2, 3]],
        ['b', [0, 1]],
      ]),
    );
  });

  it('gives partitions without an owner to whom has their state', () => {
    const claims = [member('a', { warm: [2, 3] }), member('b', { warm: [0, 1, 2] })];
    expect(assignPartitions(claims, 4)).toEqual(
      new Map([
        ['a', [2, 3]],
        ['b', [0, 1]],
      ]),
    );
  });

  it('gives away first what a member that comes back has on disk', () => {
    const claims = [
      member('a', { owned: [0, 1, 2, 3], generation: 3 }),
      member('b', { warm: [0, 2], generation: -1 }),
    ];
    expect(assignPartitions(claims, 4)).toEqual(
      new Map([
        ['a', [1, 3]],
        ['b', [0, 2]],
      ]),
    );
  });
});
