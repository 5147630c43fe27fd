import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Frontier } from './frontier.ts';
import { type Hash, LEAF_PREFIX, leafHash, nodeHash, toHex } from './hash.ts';
import { verifyConsistency, verifyInclusion } from './proof.ts';
import { consistencyRanges, inclusionRanges, Prover, rootOf } from './prover.ts';

const leafOf = (bytes: Uint8Array) => leafHash(Buffer.concat([Buffer.of(LEAF_PREFIX), bytes]));

/** The reference tree of Certificate Transparency's implementations: leaves, and the root of the first n. */
const LEAVES = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map((hex) => leafOf(Buffer.from(hex, 'hex')));

const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

/** MTH as RFC 9162 section 2.1.1 defines it: by recursion, over all leaves. */
function mth(leaves: readonly Hash[]): Hash {
  const [first] = leaves;
  if (leaves.length === 1 && first !== undefined) return first;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

function frontierOf(leaves: readonly Hash[]) {
  const tree = new Frontier();
  for (const leaf of leaves) tree.append(leaf);
  return tree.state();
}

function inclusion(leaves: readonly Hash[], index: number, from = 0): Hash[] {
  const prover = new Prover(
    inclusionRanges(index, leaves.length),
    frontierOf(leaves.slice(0, from)),
  );
  for (const leaf of leaves.slice(from)) prover.append(leaf);
  return prover.path();
}

function consistency(leaves: readonly Hash[], first: number, from = 0): Hash[] {
  const ranges = consistencyRanges(first, leaves.length);
  const prover = new Prover(ranges, frontierOf(leaves.slice(0, from)));
  for (const leaf of leaves.slice(from)) prover.append(leaf);
  return prover.path();
}

const manyLeaves = (count: number) =>
  Array.from({ length: count }, (_, i) => leafOf(Buffer.from(`leaf ${i}`)));

describe('the published vectors of RFC 6962', () => {
  it.each(ROOTS.map((root, size) => ({ size, root })))('root of $size leaves', ({ size, root }) => {
    expect(toHex(rootOf(LEAVES.slice(0, size)))).toBe(root);
  });

  it('inclusion of the first and of the sixth leaf of eight', () => {
    expect(inclusion(LEAVES, 0).map(toHex)).toEqual([
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ]);
    expect(inclusion(LEAVES, 5).map(toHex)).toEqual([
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ]);
  });

  it('consistency of 6 with 8, and of 2 with 5', () => {
    expect(consistency(LEAVES, 6).map(toHex)).toEqual([
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ]);
    expect(consistency(LEAVES.slice(0, 5), 2).map(toHex)).toEqual([
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
    ]);
  });
});

const sized = fc.integer({ min: 1, max: 200 });
const within = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('trees of any size', () => {
  it('have the root that the definition gives, however often they were interrupted', () => {
    fc.assert(
      fc.property(sized, within, (size, cut) => {
        const leaves = manyLeaves(size);
        const at = Math.floor(cut * size);
        const tree = new Frontier(frontierOf(leaves.slice(0, at)));
        for (const leaf of leaves.slice(at)) tree.append(leaf);
        expect(tree.root()).toBe(mth(leaves));
      }),
    );
  });

  it('prove each leaf, from the beginning or from any size before it, and no other leaf or place', () => {
    fc.assert(
      fc.property(sized, within, within, (size, leafAt, startAt) => {
        const leaves = manyLeaves(size);
        const index = Math.floor(leafAt * size);
        const path = inclusion(leaves, index, Math.floor(startAt * (index + 1)));
        const root = mth(leaves);
        const leaf = leaves[index] ?? '';
        expect(verifyInclusion(leaf, { index, size, path }, root)).toBe(true);
        expect(verifyInclusion(leafOf(Buffer.from('other')), { index, size, path }, root)).toBe(
          false,
        );
        expect(verifyInclusion(leaf, { index: (index + 1) % (size + 1), size, path }, root)).toBe(
          false,
        );
        expect(verifyInclusion(leaf, { index, size, path: [...path, leaf] }, root)).toBe(false);
        if (path.length > 0)
          expect(verifyInclusion(leaf, { index, size, path: path.slice(1) }, root)).toBe(false);
      }),
    );
  });

  it('prove that they go on from any smaller one', () => {
    fc.assert(
      fc.property(sized, within, within, (second, firstAt, startAt) => {
        const leaves = manyLeaves(second);
        const first = 1 + Math.floor(firstAt * second);
        const path = consistency(leaves, first, Math.floor(startAt * (first + 1)));
        const [older, newer] = [mth(leaves.slice(0, first)), mth(leaves)];
        expect(verifyConsistency({ first, second, path }, older, newer)).toBe(true);
        const forged = mth([...leaves.slice(0, first - 1), leafOf(Buffer.from('forged'))]);
        expect(verifyConsistency({ first, second, path }, forged, newer)).toBe(false);
        if (first < second)
          expect(verifyConsistency({ first, second, path }, older, older)).toBe(false);
      }),
    );
  });

  it('have another root when a bit is flipped, or a leaf dropped, swapped or added', () => {
    fc.assert(
      fc.property(sized, within, fc.integer({ min: 0, max: 7 }), (size, at, bit) => {
        const texts = Array.from({ length: size }, (_, i) => Buffer.from(`leaf ${i}`));
        const root = mth(texts.map(leafOf));
        const index = Math.floor(at * size);
        const flipped = texts.map((text) => Buffer.from(text));
        const byte = flipped[index];
        if (byte !== undefined) byte[0] = (byte[0] ?? 0) ^ (1 << bit);
        expect(rootOf(flipped.map(leafOf))).not.toBe(root);
        expect(rootOf(texts.toSpliced(index, 1).map(leafOf))).not.toBe(root);
        expect(rootOf([...texts, Buffer.from('more')].map(leafOf))).not.toBe(root);
        const [one, other] = [texts[index], texts[(index + 1) % size]];
        if (size > 1 && one !== undefined && other !== undefined) {
          const swapped = texts.with(index, other).with((index + 1) % size, one);
          expect(rootOf(swapped.map(leafOf))).not.toBe(root);
        }
      }),
    );
  });
});

it('refuses a frontier that is none', () => {
  expect(() => new Frontier({ size: 5, nodes: [] })).toThrow(RangeError);
  expect(() => new Frontier({ size: -1, nodes: [] })).toThrow(RangeError);
});
