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

const multipliers = new Uint32Array(PERMUTATIONS);
const offsets = new Uint32Array(PERMUTATIONS);
for (let i = 0; i < PERMUTATIONS; i += 1) {
  multipliers[i] = mix(2 * i + 1) | 1;
  offsets[i] = mix(0x51ed270b + i);
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
    for (let p = 0; p < PERMUTATIONS; p += 1) {
      const a = multipliers[p] ?? 1;
      const b = offsets[p] ?? 0;
      let least = 0xffffffff;
      for (let i = 0; i < count; i += 1) {
        const h = (Math.imul(a, values[i] ?? 0) + b) >>> 0;
        if (h < least) least = h;
      }
      signature[p] = least;
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
