import { setTimeout as delay } from 'node:timers/promises';
import type { StepCounters } from '../task/counters.ts';
import type { CallOptions, Calls } from './process-api.ts';

/** What came back, and waits for an epoch to take it. */
interface Arrived {
  readonly id: string;
  /** Throws what the call was rejected with. */
  readonly apply: () => void;
}

const DEFAULTS = { patienceMs: 50, maxUnderWay: 10_000 };

/** Of a step that did not say that it calls anybody: nothing would take what came back. */
export const NO_CALLS: Calls = {
  start: () => {
    throw new Error('the step begins a call, but does not declare `calls`');
  },
};

/**
 * Calls of one step in one task. They outlive the epoch that began them: what is pending is the step's state, and what
 * comes back is taken at the end of the next batch, or by a tick when there is none.
 */
export class BackgroundCalls implements Calls {
  readonly #options: Required<Pick<CallOptions, 'patienceMs' | 'maxUnderWay'>>;
  readonly #counters: { inFlight: number };
  /** Until what they came to is taken: what asks for the same in between joins them. */
  readonly #underWay = new Set<string>();
  /** Begun since the last `take`, and not back. */
  readonly #young = new Set<string>();
  #arrived: Arrived[] = [];
  #arrival = Promise.withResolvers<void>();
  #isDisposed = false;

  constructor(options: CallOptions, counters: StepCounters) {
    this.#options = { ...DEFAULTS, ...options };
    const { breaker } = options;
    counters.async ??= {
      inFlight: 0,
      get breaker() {
        return breaker?.();
      },
    };
    this.#counters = counters.async;
  }

  start<R>(id: string, call: () => Promise<R>, then: (result: R) => void): void {
    if (this.#underWay.has(id)) return;
    this.#underWay.add(id);
    this.#young.add(id);
    this.#counters.inFlight += 1;
    void call().then(
      (result) => this.#arrive({ id, apply: () => then(result) }),
      (error: unknown) => {
        const apply = () => {
          throw error;
        };
        this.#arrive({ id, apply });
      },
    );
  }

  #arrive(arrived: Arrived): void {
    this.#counters.inFlight -= 1;
    if (this.#isDisposed) return;
    this.#young.delete(arrived.id);
    this.#arrived.push(arrived);
    this.#arrival.resolve();
  }

  /**
   * Hands over what came back, after waiting for a moment for what this epoch began, and until no more than
   * `maxUnderWay` are under way.
   */
  async take(hand: (id: string, apply: () => void) => void): Promise<void> {
    const { patienceMs, maxUnderWay } = this.#options;
    if (this.#young.size === 0 && this.#underWay.size <= maxUnderWay) return this.#handOver(hand);
    const timer = new AbortController();
    let isPatient = true;
    const patience = delay(patienceMs, undefined, { signal: timer.signal })
      .catch(() => undefined)
      .then(() => {
        isPatient = false;
      });
    try {
      for (;;) {
        this.#handOver(hand);
        const isFull = this.#underWay.size > maxUnderWay;
        if (!isFull && (this.#young.size === 0 || !isPatient)) break;
        this.#arrival = Promise.withResolvers();
        await (isFull ? this.#arrival.promise : Promise.race([this.#arrival.promise, patience]));
      }
    } finally {
      timer.abort();
      this.#young.clear();
    }
  }

  #handOver(hand: (id: string, apply: () => void) => void): void {
    const arrived = this.#arrived;
    this.#arrived = [];
    for (const { id, apply } of arrived) {
      // Before: it may ask again.
      this.#underWay.delete(id);
      hand(id, apply);
    }
  }

  /** What comes back is of no use any more. */
  dispose(): void {
    this.#isDisposed = true;
  }
}
