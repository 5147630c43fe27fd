import { setTimeout as delay } from 'node:timers/promises';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import type { PollSource } from './config.ts';

const MINUTE_S = 60;

/** Keeps a source within its requests and records a minute. A restart begins a new minute. */
export class Pace {
  readonly #requests: RateLimiterMemory;
  readonly #records: RateLimiterMemory;

  constructor({ requestsPerMinute, recordsPerMinute }: PollSource) {
    this.#requests = new RateLimiterMemory({ points: requestsPerMinute, duration: MINUTE_S });
    this.#records = new RateLimiterMemory({ points: recordsPerMinute, duration: MINUTE_S });
  }

  /** Waits until one more request is allowed, and counts it. @throws the signal's reason. */
  async request(signal: AbortSignal): Promise<void> {
    for (const limiter of [this.#records, this.#requests]) {
      const used = await limiter.get('');
      if (used !== null && used.remainingPoints <= 0)
        await delay(used.msBeforeNext, undefined, { signal });
    }
    await this.#requests.penalty('');
  }

  /** Counts records that came: how many is known only then, so a page can be over the limit, and the next one waits. */
  async records(count: number): Promise<void> {
    if (count > 0) await this.#records.penalty('', count);
  }
}
