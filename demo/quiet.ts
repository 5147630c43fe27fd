import { setTimeout as sleep } from 'node:timers/promises';

/** One look at everything that moves. */
export interface Sample {
  /** Records that consumer groups have still to read. */
  readonly lag: number;
  /** Counts of topics and stores, in a fixed order: equal when nothing moved. */
  readonly counts: readonly number[];
}

export interface QuietOptions {
  readonly sample: () => Promise<Sample>;
  readonly onSample?: (sample: Sample) => void;
  readonly timeoutMs: number;
  /** Ends the wait early. */
  readonly signal?: AbortSignal;
}

/** Looks in a row that must be equal, with no lag: longer than a connector's poll and a sink's batch together. */
const CALM_SAMPLES = 5;
/**
 * Looks in a row that must be equal where some lag stays: a group that has read everything still lags by the
 * transaction markers at the end of its partitions, which are offsets but no records.
 */
const CALM_SAMPLES_WITH_LAG = 10;
const INTERVAL_MS = 600;

/** Says when nothing has moved for long enough. Whether everything is read is for verification to find out. */
export class QuietDetector {
  #last = '';
  #calm = 0;

  /** @returns whether everything is at rest. */
  observe({ lag, counts }: Sample): boolean {
    const now = [lag, ...counts].join(',');
    this.#calm = now === this.#last ? this.#calm + 1 : 0;
    this.#last = now;
    return this.#calm >= (lag === 0 ? CALM_SAMPLES : CALM_SAMPLES_WITH_LAG);
  }
}

/** Waits until neither lag nor any count has moved for some seconds. @returns false when the time was up. */
export async function waitQuiet(options: QuietOptions): Promise<boolean> {
  const detector = new QuietDetector();
  const deadline = performance.now() + options.timeoutMs;
  while (performance.now() < deadline && options.signal?.aborted !== true) {
    const sample = await options.sample();
    options.onSample?.(sample);
    if (detector.observe(sample)) return true;
    await sleep(INTERVAL_MS);
  }
  return false;
}
