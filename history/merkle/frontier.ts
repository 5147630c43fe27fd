import { EMPTY_ROOT, type Hash, nodeHash } from './hash.ts';

/** A frontier as it is kept: its tree goes on from it. */
export interface FrontierState {
  /** Leaves of the tree. */
  readonly size: number;
  /** Roots of its perfect subtrees, largest first: as many as `size` has bits set. */
  readonly nodes: readonly Hash[];
}

/**
 * The right edge of a Merkle tree (a compact range from 0): all that is needed to append leaves and to tell the root, some
 * 30 hashes for a billion leaves. Sizes up to 2^53.
 */
export class Frontier {
  #size: number;
  readonly #nodes: Hash[];

  /** @throws RangeError when there are not as many nodes as the size has bits. */
  constructor({ size, nodes }: FrontierState = { size: 0, nodes: [] }) {
    if (!Number.isSafeInteger(size) || size < 0 || nodes.length !== bitsOf(size)) {
      throw new RangeError(`${nodes.length} nodes are no frontier of a tree of ${size} leaves`);
    }
    this.#size = size;
    this.#nodes = [...nodes];
  }

  get size(): number {
    return this.#size;
  }

  append(leaf: Hash): void {
    let at = leaf;
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      at = nodeHash(this.#nodes.pop() ?? '', at);
    }
    this.#nodes.push(at);
    this.#size += 1;
  }

  /** MTH of RFC 9162 section 2.1.1. */
  root(): Hash {
    let root: Hash | undefined;
    for (let i = this.#nodes.length - 1; i >= 0; i -= 1) {
      const left = this.#nodes[i] ?? '';
      root = root === undefined ? left : nodeHash(left, root);
    }
    return root ?? EMPTY_ROOT;
  }

  /** A copy, to be kept. */
  state(): FrontierState {
    return { size: this.#size, nodes: [...this.#nodes] };
  }
}

function bitsOf(size: number): number {
  let bits = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2;
  return bits;
}
