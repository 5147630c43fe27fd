import type { Logger } from 'pino';
import { backoffMs } from '../backoff.ts';
import type { ReachflowError } from '../errors.ts';
import type { RetryLater } from './stops.ts';

/** Longest wait of one `retry` outcome, ms: a step that asks for more is asked again in between. */
const MAX_RETRY_WAIT_MS = 60_000;
/** How long a record is waited for whose payload cannot be read, ms. */
const PAYLOAD_BACKOFF = { initialMs: 500, maxMs: 30_000 };

interface WaitsOptions {
  readonly now: () => number;
  readonly logger: Logger;
}

/** Until when a task tries nothing again: the record at its position, or what no record is behind. */
export class Waits {
  readonly #options: WaitsOptions;
  #recordUntil = Number.NEGATIVE_INFINITY;
  #restUntil = Number.NEGATIVE_INFINITY;
  /** How often in a row the payload of the record at the position could not be read. */
  #payloadFailures = 0;

  constructor({ now, logger }: WaitsOptions) {
    this.#options = { now, logger };
  }

  /** When the record at the position may be tried again, ms since the epoch; undefined when none waits. */
  get recordUntil(): number | undefined {
    return this.#options.now() < this.#recordUntil ? this.#recordUntil : undefined;
  }

  /** Whether timers and table changes wait. */
  get isResting(): boolean {
    return this.#options.now() < this.#restUntil;
  }

  /** A step wants the record tried again later. */
  forRecord({ source, afterMs }: RetryLater): void {
    const { topic, record } = source;
    this.#options.logger.info({ topic, offset: record.offset, afterMs }, 'retry later');
    this.#recordUntil = this.#until(afterMs);
  }

  /** A step wants a timer or a table change tried again later. */
  forRest({ afterMs }: RetryLater): void {
    this.#restUntil = this.#until(afterMs);
  }

  /** The payload of a record cannot be read for now. @param record as it is named in logs. */
  forPayload(record: string, { code, message, hint }: ReachflowError): void {
    this.#payloadFailures += 1;
    const afterMs = backoffMs(this.#payloadFailures, PAYLOAD_BACKOFF);
    const { logger, now } = this.#options;
    logger.warn({ record, code, hint, afterMs }, `${record} waits: ${message}`);
    this.#recordUntil = now() + afterMs;
  }

  /** The payload of the record at the position was read. */
  payloadRead(): void {
    this.#payloadFailures = 0;
  }

  #until(afterMs: number): number {
    return this.#options.now() + Math.min(afterMs, MAX_RETRY_WAIT_MS);
  }
}
