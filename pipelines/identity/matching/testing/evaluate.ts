import { Blocker, blockWorth, CANDIDATE } from '../blocking.ts';
import { matchBits } from '../score.ts';
import { Shingler, shingleSet } from '../shingles.ts';
import type { LabelledRecord } from './febrl.ts';

/** How a matching does on labelled records, by pairs. */
export interface Quality {
  readonly precision: number;
  readonly recall: number;
}

export interface ScoredPair {
  readonly a: number;
  readonly b: number;
  readonly bits: number;
}

/** All candidates of the index with their evidence, and how many pairs are one person's. */
export interface Evaluation {
  readonly records: readonly LabelledRecord[];
  readonly pairs: readonly ScoredPair[];
  readonly truePairs: number;
}

export function evaluate(records: readonly LabelledRecord[]): Evaluation {
  const shingler = new Shingler();
  const sets = records.map(({ record }) => {
    shingler.shingle(record);
    return shingleSet(shingler);
  });
  const blocker = new Blocker();
  const index = new Map<string, number[]>();
  const pairs: ScoredPair[] = [];
  const none = new Uint32Array(0);
  for (const [b, { record }] of records.entries()) {
    blocker.block('febrl', record);
    const shared = new Map<number, number>();
    for (const [block, hash] of blocker.blocks.entries()) {
      if (hash === 0) continue;
      const name = `${block}:${hash}`;
      const members = index.get(name) ?? [];
      for (const member of members) {
        shared.set(member, (shared.get(member) ?? 0) + blockWorth(block));
      }
      members.push(b);
      index.set(name, members);
    }
    for (const [a, worth] of shared) {
      const other = records[a];
      if (other === undefined || worth < CANDIDATE) continue;
      const bits = matchBits(other.record, record, sets[a] ?? none, sets[b] ?? none);
      pairs.push({ a, b, bits });
    }
  }
  return { records, pairs, truePairs: countPairs(records.map(({ person }) => person)) };
}

/** Pairs within groups of one name. */
function countPairs(groups: readonly (string | number)[]): number {
  const sizes = new Map<string | number, number>();
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  return [...sizes.values()].reduce((sum, size) => sum + (size * (size - 1)) / 2, 0);
}

/** Of the pairs with so much evidence. */
export function pairQuality({ records, pairs, truePairs }: Evaluation, bits: number): Quality {
  const found = pairs.filter((pair) => pair.bits >= bits);
  const right = found.filter(({ a, b }) => records[a]?.person === records[b]?.person).length;
  return { precision: right / found.length, recall: right / truePairs };
}

/** Of the contacts that such pairs make: records that are connected, however far, are one. */
export function clusterQuality({ records, pairs, truePairs }: Evaluation, bits: number): Quality {
  const parent = records.map((_, i) => i);
  const root = (i: number): number => {
    let at = i;
    while (parent[at] !== at) at = parent[at] ?? at;
    return at;
  };
  for (const pair of pairs) if (pair.bits >= bits) parent[root(pair.a)] = root(pair.b);
  const found = countPairs(records.map((_, i) => root(i)));
  const right = countPairs(records.map(({ person }, i) => `${person}:${root(i)}`));
  return { precision: right / found, recall: right / truePairs };
}
