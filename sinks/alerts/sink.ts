import type { Logger } from 'pino';
import {
  DELIVERED,
  type DeliveryMode,
  type RecordResult,
  type Sink,
  type SinkBatch,
  type SinkLimits,
  type SinkRecord,
} from '../../runtime/delivery/sink.ts';
import type { ReachflowError } from '../../runtime/errors.ts';
import type { AlertRaised } from '../../schemas/types.ts';
import type { SinkDeps } from '../deps.ts';
import { invalidRecord, typedValue } from '../record.ts';
import type { AlertRoute } from './config.ts';

/** How alerts get to one place. */
export interface AlertChannel {
  /** `idempotent` where the receiver drops an alert that it has; else `at-least-once`. */
  readonly mode: Extract<DeliveryMode, 'idempotent' | 'at-least-once'>;
  /** Sends one alert and says what became of it. Never loops. */
  send(alert: AlertRaised): Promise<RecordResult>;
  close?(): void;
}

const TOPIC = 'alert.raised';
const HOUR_MS = 3_600_000;

/**
 * Alerts to one place. One alert a batch: its offset is committed when it is sent, so that a crash repeats one at most, with
 * the same key. The store is the receiver: one that is away makes alerts wait, and holds no other up.
 */
export class AlertSink implements Sink {
  readonly name: string;
  readonly mode: DeliveryMode;
  readonly topics: readonly string[];
  readonly limits: SinkLimits = { records: 1, bytes: 1_048_576, lingerMs: 0 };
  readonly writers = 2;
  readonly #channel: AlertChannel;
  readonly #route: AlertRoute;
  readonly #logger: Logger;
  readonly #clock: () => number;

  constructor(
    name: string,
    channel: AlertChannel,
    route: AlertRoute,
    { logger, parts = [] }: SinkDeps,
    clock: () => number = Date.now,
  ) {
    this.name = name;
    this.mode = channel.mode;
    this.topics = parts.includes('alerts') ? [TOPIC] : [];
    this.#channel = channel;
    this.#route = route;
    this.#logger = logger.child({ sink: name });
    this.#clock = clock;
  }

  /** Nothing to open: who is to be told is asked only when there is something to tell. */
  async open(): Promise<void> {}

  check(record: SinkRecord): ReachflowError | undefined {
    return alertOf(record).error;
  }

  async write({ records }: SinkBatch): Promise<readonly RecordResult[]> {
    const results: RecordResult[] = [];
    for (const record of records) results.push(await this.#deliver(record));
    return results;
  }

  async #deliver(record: SinkRecord): Promise<RecordResult> {
    const { row: alert, error } = alertOf(record);
    if (error !== undefined) return { status: 'rejected', error };
    const { pattern, severity, raised_at, alert_id } = alert;
    const { patterns, severities, maxAgeHours } = this.#route;
    const isWanted =
      patterns.some((name) => name === pattern) && severities.some((name) => name === severity);
    if (!isWanted) return DELIVERED;
    if (raised_at < this.#clock() - maxAgeHours * HOUR_MS) {
      this.#logger.info({ alert: alert_id, maxAgeHours }, 'an alert is too old to be told');
      return DELIVERED;
    }
    return this.#channel.send(alert);
  }

  async close(): Promise<void> {
    this.#channel.close?.();
  }
}

function alertOf(record: SinkRecord) {
  if (record.value === null) return { error: invalidRecord(record, 'it has no value') };
  return typedValue(TOPIC, record);
}
