/**
 * Says how many events are due, for a steady rate from a coarse timer. It catches up on at most one second, so
 * that a stall is not followed by a flood.
 */
export class Pace {
  readonly #ratePerSecond: number;
  #credit = 0;
  #lastMs: number;

  constructor(ratePerSecond: number, nowMs: number) {
    this.#ratePerSecond = ratePerSecond;
    this.#lastMs = nowMs;
  }

  /** Whole events due since the last call. @param nowMs a monotonic clock, ms. */
  due(nowMs: number): number {
    const elapsed = Math.min(1_000, Math.max(0, nowMs - this.#lastMs));
    this.#lastMs = nowMs;
    this.#credit += (elapsed * this.#ratePerSecond) / 1_000;
    const whole = Math.floor(this.#credit);
    this.#credit -= whole;
    return whole;
  }
}
