import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { errorMessage } from '../runtime/errors.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { groupPositions, type WatchedGroup } from '../runtime/kafka/stats.ts';
import type { InputControl } from '../runtime/task/input-control.ts';
import type { Replay } from './journal.ts';

/** How often the live groups are looked at, ms. */
const LOOK_MS = 500;
/** A wait is looked after so often, ms: a member that has to let go does not stay. */
const SLICE_MS = 50;
/** How much of a second's allowance may be saved up. */
const BURST_S = 0.25;

/**
 * What keeps a replay from hurting live traffic: a rate, and a pause for as long as live groups are behind by more than they
 * may be, until they have made good half of that. It has no say once the replay is live itself.
 */
export class Pace implements InputControl {
  readonly #replay: Replay;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #live: KafkaClient;
  readonly #groups: readonly WatchedGroup[];
  readonly #logger: Logger;
  #allowance = 0;
  #at = performance.now();
  #isHeld = false;
  #isLooking = false;

  /** @param groups whose lag is the live traffic's, by the names of `live`. */
  constructor(replay: Replay, live: KafkaClient, groups: readonly WatchedGroup[], logger: Logger) {
    this.#replay = replay;
    this.#live = live;
    this.#groups = groups;
    this.#logger = logger;
    const isGuarded = replay.maxLiveLag > 0 && replay.state === 'running';
    if (isGuarded) this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  boundOf(topic: string, partition: number): bigint | undefined {
    const bound = this.#replay.to?.[topic]?.[partition];
    return bound === undefined ? undefined : BigInt(bound);
  }

  async take(records: number, isStale: () => boolean): Promise<void> {
    const { rate } = this.#replay;
    while (this.#isHeld && !isStale()) await delay(SLICE_MS);
    if (rate === 0) return;
    this.#earn(rate);
    this.#allowance -= records;
    while (this.#allowance < 0 && !isStale()) {
      await delay(Math.min(SLICE_MS, (-this.#allowance / rate) * 1_000));
      this.#earn(rate);
    }
  }

  #earn(rate: number): void {
    const now = performance.now();
    const earned = ((now - this.#at) / 1_000) * rate;
    this.#allowance = Math.min(rate * BURST_S, this.#allowance + earned);
    this.#at = now;
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const positions = await groupPositions(this.#live, this.#groups);
      const lags = [...positions.values()].map((own) =>
        own.reduce(
          (sum, { lag, committed }) => sum + (committed === undefined ? 0 : Number(lag)),
          0,
        ),
      );
      const most = Math.max(0, ...lags);
      const { maxLiveLag } = this.#replay;
      const isHeld = most > (this.#isHeld ? maxLiveLag / 2 : maxLiveLag);
      if (isHeld !== this.#isHeld)
        this.#logger.info({ liveLag: most, maxLiveLag, isHeld }, 'live traffic goes first');
      this.#isHeld = isHeld;
    } catch (error) {
      // Not known is no reason to go on as before.
      this.#isHeld = true;
      this.#logger.warn({ error: errorMessage(error) }, 'how far the live groups are is not known');
    } finally {
      this.#isLooking = false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
