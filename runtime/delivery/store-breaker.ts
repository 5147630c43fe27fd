import type { Clock } from './clock.ts';

export interface BreakerOptions {
  /** Over which failures are counted, ms. */
  readonly windowMs: number;
  /** Share of failed writes that opens it, 0 to 1. */
  readonly failureRatio: number;
  /** Writes within the window before it may open. */
  readonly minimumWrites: number;
  /** How long it stays open, ms. */
  readonly openMs: number;
  /** Writes at the same time while it is half open. */
  readonly probes: number;
  /** Writes that have to succeed before it closes. */
  readonly successesToClose: number;
}

export type BreakerState = 'closed' | 'half-open' | 'open';

/** Called when the state changes: half open with the first probe, not when the time is up. */
export type OnBreakerChange = (state: BreakerState) => void;

const SLICES = 12;

interface Slice {
  /** Number of the slice of time that it counts. */
  at: number;
  writes: number;
  failures: number;
}

/**
 * A circuit breaker for one store: when many writes fail, all lanes leave it alone for a while, then a few probe it.
 * Unlike the steps' breaker (cockatiel's closes after one success) it wants several before it trusts the store again.
 */
export class StoreBreaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #onChange: OnBreakerChange | undefined;
  #slices: Slice[] = [];
  #openUntil = 0;
  #isOpen = false;
  #probing = 0;
  #successes = 0;
  #isProbed = false;
  /** Grows when the state changes: what began before says nothing of the state after. */
  #turn = 0;

  constructor(options: BreakerOptions, clock: Clock, onChange?: OnBreakerChange) {
    this.#options = options;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get state(): BreakerState {
    if (!this.#isOpen) return 'closed';
    return this.#clock.now() < this.#openUntil ? 'open' : 'half-open';
  }

  /**
   * Asks for leave to write.
   * @returns how to say what became of the write, or the ms to wait before asking again.
   */
  enter(): ((succeeded: boolean) => void) | number {
    const turn = this.#turn;
    const now = this.#clock.now();
    if (!this.#isOpen) return (succeeded) => this.#settle(turn, succeeded);
    if (now < this.#openUntil) return this.#openUntil - now;
    if (this.#probing >= this.#options.probes) return 100;
    this.#probing += 1;
    if (!this.#isProbed) this.#onChange?.('half-open');
    this.#isProbed = true;
    return (succeeded) => this.#settleProbe(turn, succeeded);
  }

  #settle(turn: number, succeeded: boolean): void {
    if (turn !== this.#turn) return;
    const { windowMs, minimumWrites, failureRatio } = this.#options;
    const at = Math.floor(this.#clock.now() / (windowMs / SLICES));
    this.#slices = this.#slices.filter((slice) => slice.at > at - SLICES);
    let slice = this.#slices.at(-1);
    if (slice?.at !== at) {
      slice = { at, writes: 0, failures: 0 };
      this.#slices.push(slice);
    }
    slice.writes += 1;
    if (succeeded) return;
    slice.failures += 1;
    const writes = this.#slices.reduce((sum, one) => sum + one.writes, 0);
    const failures = this.#slices.reduce((sum, one) => sum + one.failures, 0);
    if (writes >= minimumWrites && failures >= failureRatio * writes) this.#open();
  }

  #settleProbe(turn: number, succeeded: boolean): void {
    if (turn !== this.#turn) return;
    this.#probing -= 1;
    if (!succeeded) {
      this.#open();
      return;
    }
    this.#successes += 1;
    if (this.#successes < this.#options.successesToClose) return;
    this.#isOpen = false;
    this.#begin();
    this.#onChange?.('closed');
  }

  #open(): void {
    this.#isOpen = true;
    this.#openUntil = this.#clock.now() + this.#options.openMs;
    this.#begin();
    this.#onChange?.('open');
  }

  #begin(): void {
    this.#turn += 1;
    this.#slices = [];
    this.#probing = 0;
    this.#successes = 0;
    this.#isProbed = false;
  }
}
