import { mix } from './hash.ts';
import type { MatchRecord } from './match-record.ts';
import { Shingler } from './shingles.ts';

/**
 * Bands and rows of the LSH index (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4), and how many bands candidates
 * share. Records of Jaccard similarity s share a band with probability s^ROWS, and so at least two of them with
 * 1 − (1 − p)^20 − 20 p (1 − p)^19, p = s^6:
 *
 * | s | 0.2 | 0.3 | 0.4 | 0.5 | 0.6 | 0.7 | 0.8 | 0.9 |
 * | --- | --- | --- | --- | --- | --- | --- | --- | --- |
 * | | 0.0000 | 0.0001 | 0.003 | 0.04 | 0.24 | 0.70 | 0.98 | 1.00 |
 *
 * So what is alike by the threshold of 0.8 is found (0.981 at the threshold itself, more above it). Asking for two bands makes
 * the curve steep at the price of more bands: 16 bands of 7 rows, one of them shared, find as much at 0.8, but 300 times as
 * many strangers: 11 a record when a million are known (measured with benchmarks/identity), each read and compared in vain.
 * What is less alike is found by exact keys (`Blocker`).
 */
export const BANDS = 20;
export const ROWS = 6;
export const SHARED_BANDS = 2;
export const PERMUTATIONS = BANDS * ROWS;

const TOP_BIT = 0x80000000 | 0;
/** The largest signed number: 2^32 − 1 with its top bit flipped. */
const MOST = 0x7fffffff;

const multipliers = new Int32Array(PERMUTATIONS);
/** What is added, with the top bit flipped. */
const flipped = new Int32Array(PERMUTATIONS);
for (let i = 0; i < PERMUTATIONS; i += 1) {
  multipliers[i] = mix(2 * i + 1) | 1;
  flipped[i] = mix(0x51ed270b + i) ^ TOP_BIT;
}

function at(numbers: Int32Array, index: number): number {
  return numbers[index] ?? 0;
}

/** Probability that records of Jaccard similarity `s` share so many bands that they are candidates. */
export function candidateProbability(s: number): number {
  const p = s ** ROWS;
  return 1 - (1 - p) ** BANDS - BANDS * p * (1 - p) ** (BANDS - 1);
}

/**
 * Signs records by MinHash (Broder 1997). Permutation i takes a shingle x to a·x + b modulo 2^32, of a fixed odd a and a
 * fixed b; x is mixed before. One signer's arrays serve all records: it allocates nothing per record.
 */
export class Signer {
  readonly #shingler = new Shingler();
  readonly signature = new Uint32Array(PERMUTATIONS);

  /** Leaves the smallest value of each permutation in `signature`. @returns false when there is nothing to sign. */
  sign(record: MatchRecord): boolean {
    const shingler = this.#shingler;
    const { signature } = this;
    shingler.shingle(record);
    const { values, count } = shingler;
    // Four permutations at a time: each shingle is read once for them. Values are kept with their top bit flipped, so that the
    // order of signed numbers, which is the cheap one to compare by, is that of the unsigned.
    for (let p = 0; p < PERMUTATIONS; p += 4) {
      const [a0, a1, a2, a3] = [
        at(multipliers, p),
        at(multipliers, p + 1),
        at(multipliers, p + 2),
        at(multipliers, p + 3),
      ];
      const [b0, b1, b2, b3] = [
        at(flipped, p),
        at(flipped, p + 1),
        at(flipped, p + 2),
        at(flipped, p + 3),
      ];
      let [m0, m1, m2, m3] = [MOST, MOST, MOST, MOST];
      for (let i = 0; i < count; i += 1) {
        const x = values[i] ?? 0;
        const h0 = (Math.imul(a0, x) + b0) | 0;
        const h1 = (Math.imul(a1, x) + b1) | 0;
        const h2 = (Math.imul(a2, x) + b2) | 0;
        const h3 = (Math.imul(a3, x) + b3) | 0;
        if (h0 < m0) m0 = h0;
        if (h1 < m1) m1 = h1;
        if (h2 < m2) m2 = h2;
        if (h3 < m3) m3 = h3;
      }
      signature[p] = m0 ^ TOP_BIT;
      signature[p + 1] = m1 ^ TOP_BIT;
      signature[p + 2] = m2 ^ TOP_BIT;
      signature[p + 3] = m3 ^ TOP_BIT;
    }
    return count > 0;
  }

  /** Writes the signature's `BANDS` hashes to `target`, from `at`. Each differs by band and `seed`. */
  bands(seed: number, target: Uint32Array, at = 0): void {
    for (let band = 0; band < BANDS; band += 1) {
      let h = mix(seed ^ Math.imul(band + 1, 0x9e3779b1));
      for (let row = 0; row < ROWS; row += 1) {
        h = mix(Math.imul(h, 31) ^ (this.signature[band * ROWS + row] ?? 0));
      }
      target[at + band] = h;
    }
  }
}

/** Share of equal values of two signatures: an estimate of the Jaccard similarity, its error about 1/√n. */
export function estimate(a: Uint32Array, b: Uint32Array): number {
  let equal = 0;
  for (let i = 0; i < PERMUTATIONS; i += 1) if (a[i] === b[i]) equal += 1;
  return equal / PERMUTATIONS;
}
