import { DDSketch } from '@datadog/sketches-js';
import { ReachflowError } from '../../../runtime/errors.ts';
import type { Serde } from '../../../runtime/state/contract.ts';

/** How far a quantile is from the exact one of the same values at most, as a share of it. */
export const RELATIVE_ACCURACY = 0.01;

/** Bin k of a sketch holds values from GAMMA^(k-1) to GAMMA^k. */
export const GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY);

/** Values up to it are counted as 0, ms: it bounds the bins below. */
export const LEAST_MS = 0.001;

/** No call takes longer than a day, ms: it bounds the bins above, at 1,260 with LEAST_MS. */
export const MOST_MS = 86_400_000;

/** What is in a sketch, in one form whatever the order of its values was. */
export interface SketchBins {
  /** Values up to LEAST_MS. */
  readonly zeros: number;
  /** Ascending. */
  readonly bins: readonly number[];
  /** Of each bin, above 0. */
  readonly counts: readonly number[];
}

/** An empty sketch. */
export function emptySketch(): DDSketch {
  return new DDSketch({ relativeAccuracy: RELATIVE_ACCURACY });
}

/** Adds a duration, from 0 to MOST_MS, to a sketch, which it changes and returns. */
export function addToSketch(sketch: DDSketch, durationMs: number): DDSketch {
  sketch.accept(durationMs <= LEAST_MS ? 0 : durationMs);
  return sketch;
}

/** The sketch of the values of both, which stay as they are. */
export function mergeSketches(a: DDSketch, b: DDSketch): DDSketch {
  const both = emptySketch();
  both.merge(a);
  both.merge(b);
  return both;
}

/** What is in a sketch. Two sketches of the same values have the same bins, however they were merged. */
export function binsOf({ store, zeroCount }: DDSketch): SketchBins {
  const bins: number[] = [];
  const counts: number[] = [];
  for (const [index, count] of store.bins.entries()) {
    if (count === 0) continue;
    bins.push(index + store.offset);
    counts.push(count);
  }
  return { zeros: zeroCount, bins, counts };
}

/** The sketch with these bins. Its sum, least and greatest value are not known any more. */
export function sketchOf({ zeros, bins, counts }: SketchBins): DDSketch {
  const sketch = emptySketch();
  for (const [i, bin] of bins.entries()) sketch.store.add(bin, counts[i] ?? 0);
  sketch.zeroCount = zeros;
  sketch.count = zeros + sketch.store.count;
  return sketch;
}

/** A quantile, from 0 to 1, of a sketch's values: of n the one at rank ⌊q (n - 1)⌋, within RELATIVE_ACCURACY. */
export function quantileOf(sketch: DDSketch, quantile: number): number {
  return sketch.getValueAtQuantile(quantile);
}

/** A bin takes 4 bytes and its count 6: enough for 2^48 calls. */
const BIN_BYTES = 10;
const COUNT_BYTES = 6;

/**
 * Sketches in stores and repartition topics: zeros, then bins with their counts. The same values are the same bytes.
 * @throws ReachflowError `STATE_CORRUPT` for bytes of another length.
 */
export const sketchSerde: Serde<DDSketch> = {
  encode(sketch) {
    const { zeros, bins, counts } = binsOf(sketch);
    const bytes = Buffer.allocUnsafe(COUNT_BYTES + bins.length * BIN_BYTES);
    let at = bytes.writeUIntLE(zeros, 0, COUNT_BYTES);
    for (const [i, bin] of bins.entries()) {
      at = bytes.writeInt32LE(bin, at);
      at = bytes.writeUIntLE(counts[i] ?? 0, at, COUNT_BYTES);
    }
    return bytes;
  },
  decode(bytes) {
    if (bytes.length < COUNT_BYTES || (bytes.length - COUNT_BYTES) % BIN_BYTES !== 0) {
      throw new ReachflowError(`a sketch has ${bytes.length} bytes`, {
        code: 'STATE_CORRUPT',
        domain: 'internal',
      });
    }
    const bins: number[] = [];
    const counts: number[] = [];
    for (let at = COUNT_BYTES; at < bytes.length; at += BIN_BYTES) {
      bins.push(bytes.readInt32LE(at));
      counts.push(bytes.readUIntLE(at + 4, COUNT_BYTES));
    }
    return sketchOf({ zeros: bytes.readUIntLE(0, COUNT_BYTES), bins, counts });
  },
};
