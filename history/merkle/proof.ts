import { type Hash, nodeHash } from './hash.ts';

/** That a leaf is in a tree. */
export interface Inclusion {
  /** Of the leaf, from 0. */
  readonly index: number;
  /** Leaves of the tree. */
  readonly size: number;
  /** Siblings, from the leaf up. */
  readonly path: readonly Hash[];
}

/** Whether the path leads from the leaf to the root: RFC 9162 section 2.1.3.2. */
export function verifyInclusion(leaf: Hash, { index, size, path }: Inclusion, root: Hash): boolean {
  if (!isCount(index) || !isCount(size) || index >= size) return false;
  let [fn, sn] = [BigInt(index), BigInt(size) - 1n];
  let at = leaf;
  for (const sibling of path) {
    if (sn === 0n) return false;
    if (isOdd(fn) || fn === sn) {
      at = nodeHash(sibling, at);
      while (!isOdd(fn) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      at = nodeHash(at, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && at === root;
}

/** That a tree is the beginning of a larger one. */
export interface Consistency {
  /** Leaves of the smaller tree. */
  readonly first: number;
  /** Leaves of the larger tree. */
  readonly second: number;
  readonly path: readonly Hash[];
}

/** Whether the smaller tree's leaves are the first of the larger one: RFC 9162 section 2.1.4.2. */
export function verifyConsistency(
  { first, second, path }: Consistency,
  firstRoot: Hash,
  secondRoot: Hash,
): boolean {
  if (!isCount(first) || !isCount(second) || first > second) return false;
  if (first === second) return path.length === 0 && firstRoot === secondRoot;
  // Of an empty tree everything is a continuation.
  if (first === 0) return path.length === 0;
  const isPowerOfTwo = (BigInt(first) & BigInt(first - 1)) === 0n;
  const steps = isPowerOfTwo ? [firstRoot, ...path] : [...path];
  const start = steps.shift();
  if (start === undefined) return false;
  let [fn, sn] = [BigInt(first) - 1n, BigInt(second) - 1n];
  while (isOdd(fn)) [fn, sn] = [fn >> 1n, sn >> 1n];
  let [older, newer] = [start, start];
  for (const step of steps) {
    if (sn === 0n) return false;
    if (isOdd(fn) || fn === sn) {
      older = nodeHash(step, older);
      newer = nodeHash(step, newer);
      while (!isOdd(fn) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      newer = nodeHash(newer, step);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && older === firstRoot && newer === secondRoot;
}

function isOdd(number: bigint): boolean {
  return (number & 1n) === 1n;
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}
