import { join } from 'node:path';
import type { ByteKey } from './backend.ts';
import type { FilterLanes } from './filter-lanes.ts';
import type { LmdbValues } from './lmdb-values.ts';
import { RunWriter } from './run-writer.ts';
import { type RunPlace, SealedSegment, type TreeSegment } from './segment.ts';

/** Bytes read between two looks at how many entries there were: bounds what a step takes with large values. */
const MAX_STEP_BYTES = 8 * 1024 * 1024;

/**
 * Writes a segment that is full into a run, a few entries with each batch. Until the list of segments names the run, it
 * is a file of no meaning.
 */
export class Sealing {
  readonly segment: TreeSegment;
  readonly #values: LmdbValues;
  readonly #place: RunPlace;
  readonly #lanes: FilterLanes;
  readonly #writer: RunWriter;
  #next: ByteKey = '';
  #sealed: SealedSegment | undefined;

  /** @param place of a file that is not there. @throws what the file system throws. */
  constructor(segment: TreeSegment, values: LmdbValues, place: RunPlace, lanes: FilterLanes) {
    this.segment = segment;
    this.#values = values;
    this.#place = place;
    this.#lanes = lanes;
    this.#writer = new RunWriter(join(place.dir, place.name), segment.size().entries);
  }

  /** What it came to, once it is through. */
  get sealed(): SealedSegment | undefined {
    return this.#sealed;
  }

  /**
   * Writes up to `entries` more. After a throw it is of no use: `abandon` it.
   * @throws ReachflowError `STATE_CORRUPT`, or what the file system throws.
   */
  advance(entries: number): void {
    if (this.#sealed !== undefined) return;
    let written = 0;
    let bytes = 0;
    for (const { key, value } of this.segment.range(this.#next, undefined)) {
      if (written >= entries || bytes >= MAX_STEP_BYTES) {
        this.#next = key;
        return;
      }
      this.#writer.add(key, value);
      written += 1;
      bytes += key.length + value.length;
    }
    this.#writer.finish();
    this.#sealed = SealedSegment.open(this.#place, this.#lanes, this.#values, this.segment);
  }

  /** Writes all that is left. @throws as `advance`. */
  finish(): SealedSegment {
    while (this.#sealed === undefined) this.advance(Number.POSITIVE_INFINITY);
    return this.#sealed;
  }

  /** Removes the file. */
  abandon(): void {
    this.#sealed?.lane.release();
    this.#sealed?.run.close();
    this.#writer.abandon();
  }
}
