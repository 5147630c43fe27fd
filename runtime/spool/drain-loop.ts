import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { backoffMs } from '../backoff.ts';
import { errorMessage } from '../errors.ts';
import { Drain, type DrainOptions } from './drain.ts';
import type { LogPosition } from './segment-log.ts';

/** The first records of a log, which may be with the brokers already. */
export interface Doubt {
  /** Whether the brokers have all of them; settles when that is known, or not to be known any more. */
  readonly acked: Promise<boolean>;
  /** Where the last of them is in the log; undefined where the log did not take it. */
  readonly copied: Promise<LogPosition | undefined>;
}

export interface DrainLoopOptions extends DrainOptions {
  readonly logger: Logger;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** After everything that was sealed is drained. True ends the loop until the next `start`. */
  readonly onPass: () => boolean;
  /** It goes on after a pause. */
  readonly onFailure: () => void;
}

const BACKOFF = { initialMs: 100, maxMs: 5_000 };
/** A failure that lasts is logged so often, in attempts. */
const LOG_EVERY = 12;

/** Drains a log until there is nothing left, however often that fails. */
export class DrainLoop {
  readonly #options: DrainLoopOptions;
  #running: Promise<void> | undefined;
  #drain: Drain | undefined;
  #doubt: Doubt | undefined;
  #isWanted = false;
  #drained = 0;
  #failure: string | undefined;

  constructor(options: DrainLoopOptions) {
    this.#options = options;
  }

  /** Records written to their topics so far. */
  get drained(): number {
    return this.#drained + (this.#drain?.drained ?? 0);
  }

  /** Why it does not go on; undefined when it does. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Resolves when it does nothing. */
  get stopped(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** Nothing is drained before this is settled. */
  doubt(doubt: Doubt): void {
    this.#doubt = doubt;
  }

  /** Idempotent. */
  start(): void {
    this.#isWanted = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // It was started again while it was about to end.
      if (this.#isWanted && !this.#options.signal.aborted) this.start();
    });
  }

  async #run(): Promise<void> {
    const { signal, onPass, onFailure, logger } = this.#options;
    for (let attempt = 1; !signal.aborted; ) {
      try {
        await this.#pass();
        this.#failure = undefined;
        attempt = 1;
        this.#isWanted = false;
        if (signal.aborted || onPass()) break;
      } catch (error) {
        await this.#close();
        if (signal.aborted) break;
        this.#failure = errorMessage(error);
        if (attempt % LOG_EVERY === 1)
          logger.warn({ error: this.#failure, attempt }, 'the spool is not drained, trying again');
        onFailure();
        await delay(backoffMs(attempt, BACKOFF), undefined, { signal }).catch(() => undefined);
        attempt += 1;
      }
    }
    await this.#close();
  }

  async #pass(): Promise<void> {
    const { log, signal } = this.#options;
    const doubt = this.#doubt;
    const acked = doubt !== undefined && (await this.#orAborted(doubt.acked));
    if (signal.aborted) return;
    await log.seal();
    this.#drain ??= await Drain.open(this.#options);
    if (doubt !== undefined) {
      const copied = acked ? await doubt.copied : undefined;
      if (copied !== undefined)
        await this.#drain.skipTo({ segment: copied.segment, index: copied.index + 1 });
      if (this.#doubt === doubt) this.#doubt = undefined;
    }
    await this.#drain.drain(() => signal.aborted);
  }

  async #orAborted(acked: Promise<boolean>): Promise<boolean> {
    const { signal } = this.#options;
    const { promise: aborted, resolve } = Promise.withResolvers<false>();
    const onAbort = () => resolve(false);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([acked, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #close(): Promise<void> {
    const drain = this.#drain;
    this.#drain = undefined;
    this.#drained += drain?.drained ?? 0;
    await drain?.close();
  }
}
