import type { Logger } from 'pino';
import { errorMessage } from '../errors.ts';
import type { Clock } from './clock.ts';
import type { DeliveryConfig } from './config.ts';

/** What is posted when a sink rejects too much, and when that is over. */
export interface AlertMessage {
  readonly sink: string;
  readonly state: 'firing' | 'resolved';
  /** Records of the last minute. */
  readonly records: number;
  readonly rejected: number;
  /** When the episode began, ISO 8601. */
  readonly since: string;
}

/** The body to post. Slack's incoming webhooks take `text`. */
export function alertBody(message: AlertMessage, format: 'json' | 'slack'): string {
  if (format === 'json') return JSON.stringify({ alert: 'sink-rejects', ...message });
  const { sink, state, records, rejected, since } = message;
  const share = `${rejected} of ${records} records in the last minute`;
  const text =
    state === 'firing'
      ? `:rotating_light: Reachflow: the store of sink *${sink}* rejects ${share}. See \`reachflow dlq list\`.`
      : `:white_check_mark: Reachflow: sink *${sink}* is well again (${share} rejected; since ${since}).`;
  return JSON.stringify({ text });
}

/** Posts a body. @throws when it was not taken. */
export type PostAlert = (url: string, body: string) => Promise<void>;

const SLICE_MS = 10_000;
const SLICES = 6;
const ATTEMPTS = 3;
const TIMEOUT_MS = 5_000;

const post: PostAlert = async (url, body) => {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
};

/**
 * Watches the share of records that a sink rejects, over a sliding minute: one message when it is too large, one when
 * it is below again. Messages are sent in the background; what cannot be sent is logged.
 */
export class RejectAlert {
  readonly #sink: string;
  readonly #config: DeliveryConfig['alert'];
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #post: PostAlert;
  #slices: { readonly at: number; records: number; rejected: number }[] = [];
  #since: string | undefined;
  #sending: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    sink: string,
    config: DeliveryConfig['alert'],
    deps: { readonly clock: Clock; readonly logger: Logger; readonly post?: PostAlert },
  ) {
    this.#sink = sink;
    this.#config = config;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#post = deps.post ?? post;
  }

  /** Counts records of a batch whose fate is known, all at once: a part of it would be another share. */
  count(records: number, rejected: number): void {
    if (this.#config.url === undefined) return;
    const at = Math.floor(this.#clock.now() / SLICE_MS);
    let slice = this.#slices.at(-1);
    if (slice?.at !== at) {
      slice = { at, records: 0, rejected: 0 };
      this.#slices.push(slice);
    }
    slice.records += records;
    slice.rejected += rejected;
    this.check();
  }

  /** Compares with the limit; while an episode lasts it is called every ten seconds, records or none. */
  check(): void {
    const oldest = Math.floor(this.#clock.now() / SLICE_MS) - SLICES;
    this.#slices = this.#slices.filter(({ at }) => at > oldest);
    const records = this.#slices.reduce((sum, slice) => sum + slice.records, 0);
    const rejected = this.#slices.reduce((sum, slice) => sum + slice.rejected, 0);
    const { ratio, minimumRecords } = this.#config;
    const isOver = records > 0 && rejected >= ratio * records;
    if (this.#since === undefined && isOver && records >= minimumRecords) {
      this.#since = new Date(this.#clock.now()).toISOString();
      this.#timer = setInterval(() => this.check(), SLICE_MS).unref();
      this.#send({ sink: this.#sink, state: 'firing', records, rejected, since: this.#since });
    } else if (this.#since !== undefined && !isOver) {
      this.#send({ sink: this.#sink, state: 'resolved', records, rejected, since: this.#since });
      this.#since = undefined;
      clearInterval(this.#timer);
    }
  }

  /** One after the other, so that they arrive in order. */
  #send(message: AlertMessage): void {
    const { url, format } = this.#config;
    if (url === undefined) return;
    const body = alertBody(message, format);
    this.#sending = this.#sending.then(() => this.#deliver(url, body));
  }

  async #deliver(url: string, body: string): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      try {
        await this.#post(url, body);
        return;
      } catch (error) {
        const fields = { attempt, error: errorMessage(error) };
        this.#logger.warn(fields, 'the alert could not be sent');
        if (attempt < ATTEMPTS) await this.#clock.sleep(attempt * 1_000);
      }
    }
  }

  /** Watches no longer. What is being sent has its own time-outs. */
  close(): void {
    clearInterval(this.#timer);
  }
}
