import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import { errorCode, errorMessage } from '../../runtime/errors.ts';
import { type Delivery, eventIdOf } from './deliveries.ts';
import type { Ledger } from './ledger.ts';

export interface SenderOptions {
  /** Base of the ingestor, e.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly ledger: Ledger;
  /** Connections, and requests in flight, at most. */
  readonly connections: number;
  /** Called with the event id of each delivery that was accepted for the first time. */
  readonly onAccepted?: (eventId: string) => void;
}

const MAX_WAITING = 1_000;
const MAX_ATTEMPTS = 6;
const MAX_PAUSE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** How long a sender waits before it repeats what it believes lost: between these, ms. */
const REPEAT_MIN_MS = 50;
const REPEAT_SPAN_MS = 2_000;

/**
 * Sends deliveries as a well-behaved sender does: keep-alive connections (fetch pools them; the queue's
 * concurrency bounds them), a repeat with the same id after 503, 429 or a broken connection, with back-off.
 */
export class WebhookSender {
  readonly #options: SenderOptions;
  readonly #queue: PQueue;
  /** Repeats of deliveries, by when they are due. */
  readonly #repeats: { readonly at: number; readonly delivery: Delivery }[] = [];
  readonly #abandoned = new AbortController();

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.connections });
  }

  /** Requests that may be added now without making the queue longer than its bound. */
  get room(): number {
    return Math.max(0, MAX_WAITING - this.#queue.size);
  }

  /** Repeats that are due: they count as requests of their own. @returns how many were queued. */
  sendRepeats(nowMs: number, most: number): number {
    let queued = 0;
    for (let at = 0; at < this.#repeats.length && queued < most; ) {
      const repeat = this.#repeats[at];
      if (repeat === undefined || repeat.at > nowMs) at += 1;
      else {
        this.#repeats.splice(at, 1);
        this.#enqueue(repeat.delivery, true);
        queued += 1;
      }
    }
    return queued;
  }

  /** Queues a delivery, and its repeats for later. */
  send(delivery: Delivery, nowMs: number): void {
    this.#enqueue(delivery, false);
    for (let repeat = 1; repeat < delivery.sends; repeat += 1) {
      if (this.#repeats.length >= MAX_WAITING) return;
      // Some repeats overtake the answer to the first request: that race is part of the input.
      const wait = REPEAT_MIN_MS + Math.random() * REPEAT_SPAN_MS * repeat;
      this.#repeats.push({ at: nowMs + wait, delivery });
    }
  }

  /** Forgets repeats that are not due yet and waits for the answers to everything else. */
  async drain(): Promise<void> {
    this.#repeats.length = 0;
    await this.#queue.onIdle();
  }

  /** Sends nothing more and breaks off what is under way, without noting it: the run has failed. */
  abandon(): void {
    this.#abandoned.abort();
    this.#repeats.length = 0;
    this.#queue.clear();
  }

  #enqueue(delivery: Delivery, isRepeat: boolean): void {
    // Never rejects: #deliver notes in the ledger whatever happens.
    void this.#queue.add(() => this.#deliver(delivery, isRepeat));
  }

  async #deliver(delivery: Delivery, isRepeat: boolean): Promise<void> {
    const { ledger, onAccepted } = this.#options;
    let last = '';
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const outcome = await this.#post(delivery);
      if (this.#abandoned.signal.aborted) return;
      if ('status' in outcome && outcome.status !== 503 && outcome.status !== 429) {
        const isNew = !ledger.accepted.has(eventIdOf(delivery));
        ledger.answered(delivery, outcome.status, isRepeat);
        if (outcome.status === 202 && isNew) onAccepted?.(eventIdOf(delivery));
        return;
      }
      last = 'status' in outcome ? `answered ${outcome.status}` : outcome.failure;
      const pause = outcome.retryAfterMs ?? 100 * 2 ** attempt;
      if (attempt < MAX_ATTEMPTS) await this.#pause(Math.min(MAX_PAUSE_MS, pause));
    }
    ledger.gaveUp(delivery, `${last}, ${MAX_ATTEMPTS} times`);
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#abandoned.signal }).catch(() => undefined);
  }

  async #post(
    delivery: Delivery,
  ): Promise<{ retryAfterMs?: number } & ({ status: number } | { failure: string })> {
    try {
      const response = await fetch(
        `${this.#options.url}/webhooks/ingest/${encodeURIComponent(delivery.source)}`,
        {
          method: 'POST',
          headers: delivery.headers(Date.now()),
          body: new Uint8Array(delivery.body),
          signal: AbortSignal.any([
            AbortSignal.timeout(REQUEST_TIMEOUT_MS),
            this.#abandoned.signal,
          ]),
        },
      );
      // The body has to be read, or its connection does not go back to the pool.
      await response.arrayBuffer();
      const seconds = Number(response.headers.get('retry-after'));
      const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : undefined;
      return { status: response.status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
      return { failure: errorCode(cause) ?? errorMessage(cause) };
    }
  }
}
