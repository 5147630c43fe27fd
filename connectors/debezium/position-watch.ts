import type { Logger } from 'pino';
import { errorMessage } from '../../runtime/errors.ts';
import type { CaptureMetrics } from '../../runtime/observability/capture-metrics.ts';
import type { CapturePosition, CaptureSource } from './source.ts';

export interface PositionWatchOptions {
  readonly source: Pick<CaptureSource, 'position'>;
  readonly connector: string;
  readonly logger: Logger;
  /** Between two looks, ms. */
  readonly intervalMs: number;
  readonly metrics: CaptureMetrics | undefined;
}

/** Looks how far a capture is behind, and what its slot makes the database keep: for metrics and status. */
export class PositionWatch {
  readonly #options: PositionWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #last: CapturePosition | undefined;

  constructor(options: PositionWatchOptions) {
    this.#options = options;
  }

  /** As last seen; undefined before the first look, and where the database keeps none. */
  get last(): CapturePosition | undefined {
    return this.#last;
  }

  start(): void {
    this.#begin();
    this.#timer = setInterval(() => this.#begin(), this.#options.intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    this.#options.metrics?.remove(this.#options.connector);
    this.#last = undefined;
  }

  /** A look that takes long is the only one. */
  #begin(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
  }

  async #look(): Promise<void> {
    const { source, connector, logger, metrics } = this.#options;
    try {
      this.#last = await source.position();
      if (this.#last !== undefined) metrics?.set(connector, this.#last);
    } catch (error) {
      // The database is away: what was seen last stays, and the next look may find it.
      logger.debug({ connector, error: errorMessage(error) }, 'replication slot not seen now');
    }
  }
}
