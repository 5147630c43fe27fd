import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;
const GIVE_UP_MS = 20_000;
const KEPT = 100;
/** Between two probes: a look into the store is cheap, but not free. */
const PAUSE_MS = 400;

/**
 * Measures the way from a webhook's 202 to its row in ClickHouse: one event at a time, which is looked for until
 * it is there.
 */
export class LatencyProbe {
  readonly #isThere: (eventId: string) => Promise<boolean>;
  readonly #samples: number[] = [];
  #busy = false;
  #stopped = false;

  constructor(isThere: (eventId: string) => Promise<boolean>) {
    this.#isThere = isThere;
  }

  /** An event was accepted just now; it is looked for unless another one is. */
  offer(eventId: string): void {
    if (this.#busy || this.#stopped) return;
    this.#busy = true;
    // Never rejects: a store that does not answer gives no sample.
    void this.#measure(eventId, performance.now()).finally(() => {
      this.#busy = false;
    });
  }

  async #measure(eventId: string, since: number): Promise<void> {
    while (!this.#stopped && performance.now() - since < GIVE_UP_MS) {
      if (await this.#isThere(eventId).catch(() => false)) {
        this.#samples.push(performance.now() - since);
        if (this.#samples.length > KEPT) this.#samples.shift();
        break;
      }
      await sleep(POLL_MS);
    }
    await sleep(PAUSE_MS);
  }

  /** Median and largest of the last samples, ms; undefined before the first. */
  summary(): { readonly p50: number; readonly max: number } | undefined {
    const sorted = this.#samples.toSorted((a, b) => a - b);
    const p50 = sorted[Math.floor((sorted.length - 1) / 2)];
    const max = sorted.at(-1);
    return p50 === undefined || max === undefined ? undefined : { p50, max };
  }

  stop(): void {
    this.#stopped = true;
  }
}
