import type { Logger } from 'pino';
import { backoffMs } from '../../runtime/backoff.ts';
import { errorMessage } from '../../runtime/errors.ts';
import type { ConnectClient } from './connect-client.ts';

export interface TaskWatchOptions {
  readonly client: Pick<ConnectClient, 'status' | 'restart'>;
  readonly connector: string;
  readonly logger: Logger;
  /** Between two looks, ms. */
  readonly intervalMs: number;
  /** Failed parts of a state, each with its cause. */
  readonly failuresOf: (
    state: NonNullable<Awaited<ReturnType<ConnectClient['status']>>>,
  ) => readonly string[];
}

/** A task that keeps failing is restarted with pauses that grow to this, ms. */
const MAX_PAUSE_MS = 60_000;

/**
 * Restarts what failed in Kafka Connect, which leaves a failed task failed: with back-off while it fails again, at once
 * after it ran. Whether it runs is for `status` to say; the watch never gives up, since nobody else would look.
 */
export class TaskWatch {
  readonly #options: TaskWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #restarts = 0;
  #notBefore = 0;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: TaskWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.#look());
    }, this.#options.intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { client, connector, logger, intervalMs, failuresOf } = this.#options;
    if (Date.now() < this.#notBefore) return;
    try {
      const state = await client.status(connector);
      if (state === undefined) return;
      const failed = failuresOf(state);
      if (failed.length === 0) {
        this.#restarts = 0;
        return;
      }
      this.#restarts += 1;
      const pauseMs = backoffMs(this.#restarts, { initialMs: intervalMs, maxMs: MAX_PAUSE_MS });
      this.#notBefore = Date.now() + pauseMs;
      logger.warn(
        { connector, failed, restarts: this.#restarts, pauseMs },
        'restarting what failed',
      );
      await client.restart(connector, 'failed');
    } catch (error) {
      // Connect is away or busy: the next look may find it.
      logger.debug({ connector, error: errorMessage(error) }, 'Kafka Connect not watched now');
    }
  }
}
