import { Frontier, type FrontierState } from './frontier.ts';
import { type Hash, nodeHash } from './hash.ts';

/** Leaves of a subtree: from the first, to behind the last. */
type Range = readonly [from: number, to: number];

/** Largest power of two below `size`, which is at least 2. */
function split(size: number): number {
  let k = 1;
  while (k * 2 < size) k *= 2;
  return k;
}

/** Subtrees whose roots are the inclusion proof of a leaf, in its order: PATH of RFC 9162 section 2.1.3.1. */
export function inclusionRanges(index: number, size: number, at = 0): Range[] {
  if (size <= 1) return [];
  const k = split(size);
  return index < k
    ? [...inclusionRanges(index, k, at), [at + k, at + size]]
    : [...inclusionRanges(index - k, size - k, at + k), [at, at + k]];
}

/** Subtrees whose roots are the consistency proof, in its order: PROOF of RFC 9162 section 2.1.4.1. */
export function consistencyRanges(first: number, second: number): Range[] {
  return first === 0 ? [] : subproof(first, second, 0, true);
}

function subproof(first: number, size: number, at: number, isWhole: boolean): Range[] {
  if (first === size) return isWhole ? [] : [[at, at + size]];
  const k = split(size);
  return first <= k
    ? [...subproof(first, k, at, isWhole), [at + k, at + size]]
    : [...subproof(first - k, size - k, at + k, false), [at, at + k]];
}

/** The roots of a tree's subtrees, as its leaves go by. */
export class Prover {
  readonly #ranges: readonly { readonly range: Range; readonly nodes: Node[] }[];
  /** By their beginning, for the leaves that come. */
  readonly #ahead: { readonly range: Range; readonly nodes: Node[] }[];
  #at: number;

  /**
   * @param ranges of `inclusionRanges` of a leaf that is still to come, or of `consistencyRanges` from a size that the
   *   tree has now or will have. @param start the tree so far: its leaves need not come again.
   */
  constructor(ranges: readonly Range[], start: FrontierState) {
    this.#ranges = ranges.map((range) => ({ range, nodes: [] }));
    this.#ahead = this.#ranges
      .filter(({ range }) => range[1] > start.size)
      .sort((a, b) => a.range[0] - b.range[0]);
    this.#at = start.size;
    this.#fillFrom(start);
  }

  #fillFrom({ size, nodes }: FrontierState): void {
    let from = 0;
    let left = size;
    for (const hash of nodes) {
      let width = 1;
      while (width * 2 <= left) width *= 2;
      for (const { range, nodes: own } of this.#ranges) {
        if (range[0] <= from && from + width <= range[1]) own.push({ width, hash });
      }
      from += width;
      left -= width;
    }
  }

  /** The next leaf of the tree. */
  append(leaf: Hash): void {
    const at = this.#at;
    this.#at += 1;
    let next = this.#ahead[0];
    while (next !== undefined && next.range[1] <= at) {
      this.#ahead.shift();
      next = this.#ahead[0];
    }
    if (next === undefined || next.range[0] > at) return;
    const { nodes } = next;
    nodes.push({ width: 1, hash: leaf });
    for (;;) {
      const [left, right] = nodes.slice(-2);
      if (left === undefined || right === undefined || left.width !== right.width) return;
      nodes.splice(-2, 2, { width: left.width * 2, hash: nodeHash(left.hash, right.hash) });
    }
  }

  /** The proof. @throws RangeError when leaves are missing. */
  path(): Hash[] {
    return this.#ranges.map(({ range: [from, to], nodes }) => {
      const width = nodes.reduce((sum, node) => sum + node.width, 0);
      if (width !== to - from) throw new RangeError(`leaves ${from} to ${to} did not all come`);
      return nodes.map(({ hash }) => hash).reduceRight((right, left) => nodeHash(left, right));
    });
  }
}

interface Node {
  readonly width: number;
  readonly hash: Hash;
}

/** The root of leaves. */
export function rootOf(leaves: Iterable<Hash>): Hash {
  const tree = new Frontier();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}
