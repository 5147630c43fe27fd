interface Sample {
  readonly at: number;
  readonly total: number;
}

/** How far back a rate looks, ms: long enough to be calm, short enough to be live. */
const WINDOW_MS = 8_000;
const MAX_SAMPLES = 32;

/** Rates of counters that are looked at again and again. */
export class Rates {
  readonly #samples = new Map<string, Sample[]>();

  /**
   * @param at ms of any clock that only goes forward.
   * @returns per second, over the last seconds; undefined at the first look, and after a counter began anew, as it does when a
   *   task moves.
   */
  observe(name: string, total: number, at: number): number | undefined {
    const samples = this.#samples.get(name) ?? [];
    this.#samples.set(name, samples);
    const last = samples.at(-1);
    if (last !== undefined && total < last.total) samples.length = 0;
    samples.push({ at, total });
    while (samples.length > MAX_SAMPLES) samples.shift();
    // One sample stays at or beyond the window's edge.
    while (samples.length > 2 && at - (samples[1]?.at ?? at) >= WINDOW_MS) samples.shift();
    const [first] = samples;
    if (first === undefined || samples.length < 2 || at <= first.at) return undefined;
    return ((total - first.total) * 1_000) / (at - first.at);
  }

  /** Forgets what was not looked at with the others. @param seen names of the last look. */
  keep(seen: ReadonlySet<string>): void {
    for (const name of this.#samples.keys()) if (!seen.has(name)) this.#samples.delete(name);
  }
}
