const SPAN_MS = 5_000;

/** A rate per second over the last five seconds, of a counter that only grows. */
export class Rate {
  readonly #points: { readonly at: number; readonly value: number }[] = [];

  /** @param at a monotonic clock, ms. @returns per second. */
  observe(value: number, at: number): number {
    this.#points.push({ at, value });
    while (this.#points.length > 2 && (this.#points[1]?.at ?? at) <= at - SPAN_MS) {
      this.#points.shift();
    }
    const first = this.#points[0];
    if (first === undefined || at <= first.at) return 0;
    return ((value - first.value) * 1_000) / (at - first.at);
  }
}
