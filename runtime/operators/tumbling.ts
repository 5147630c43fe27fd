/** Start of the tumbling window of `sizeMs` that holds event time `at` (ms since the epoch; windows align to it). */
export function windowStart(at: number, sizeMs: number): number {
  return at - (((at % sizeMs) + sizeMs) % sizeMs);
}

/** One group's share of one window. */
export interface WindowDelta {
  readonly key: string;
  /** ms since the epoch. */
  readonly windowStart: number;
  readonly delta: number;
}

/**
 * Adds up per key and window what arrives within an epoch, so that one record per window and epoch goes
 * through the repartition topic instead of one per event (a combiner).
 */
export class WindowCombiner {
  readonly #sizeMs: number;
  readonly #deltas = new Map<string, { key: string; windowStart: number; delta: number }>();

  constructor(sizeMs: number) {
    this.#sizeMs = sizeMs;
  }

  add(key: string, at: number): void {
    const start = windowStart(at, this.#sizeMs);
    const id = `${start}/${key}`;
    const known = this.#deltas.get(id);
    if (known === undefined) this.#deltas.set(id, { key, windowStart: start, delta: 1 });
    else known.delta += 1;
  }

  /** What was added since the last call. */
  take(): WindowDelta[] {
    const deltas = [...this.#deltas.values()];
    this.#deltas.clear();
    return deltas;
  }
}
