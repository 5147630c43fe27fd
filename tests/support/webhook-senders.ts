import { setTimeout as delay } from 'node:timers/promises';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';

/** What became of what some senders sent. */
export interface Sent {
  /** Delivery ids that were answered with 202, those of a sender in its order. */
  readonly accepted: readonly (readonly string[])[];
  readonly attempts: number;
  /** Answers with another status. */
  readonly refused: number;
  /** Attempts without an answer. */
  readonly unanswered: number;
}

/** How long a sender waits before it sends a refused delivery again, ms. */
const RETRY_MS = 100;
/** It gives up then, ms: the test fails by what is missing. */
const ATTEMPT_MS = 30_000;

/**
 * Senders as they should be: each sends its next event once the one before is accepted, and sends again, under the
 * same delivery id, what was not. The events of one are about one entity.
 */
export class WebhookSenders {
  readonly #url: () => string;
  readonly #secret: string;
  readonly #accepted: string[][] = [];
  #attempts = 0;
  #refused = 0;
  #unanswered = 0;
  #stopped = false;
  readonly #senders: Promise<void>[];

  /**
   * @param url of the source, asked for before each attempt: a restarted process may have another.
   * @param padding characters that make each body larger.
   */
  constructor(url: () => string, secret: string, senders: number, name: string, padding = 0) {
    this.#url = url;
    this.#secret = secret;
    this.#senders = Array.from({ length: senders }, (_, sender) => {
      this.#accepted.push([]);
      return this.#run(sender, name, 'x'.repeat(padding));
    });
  }

  /** So far. */
  get sent(): Sent {
    return {
      accepted: this.#accepted,
      attempts: this.#attempts,
      refused: this.#refused,
      unanswered: this.#unanswered,
    };
  }

  /** Resolves once each has an answer to what it sent last. */
  async stop(): Promise<Sent> {
    this.#stopped = true;
    await Promise.all(this.#senders);
    return this.sent;
  }

  async #run(sender: number, name: string, padding: string): Promise<void> {
    for (let n = 0; !this.#stopped; n += 1) {
      const deliveryId = `${name}-${sender}-${n}`;
      const more = padding === '' ? {} : { padding };
      const body = JSON.stringify({ id: `${name}-${sender}`, n, ...more });
      while (!(await this.#post(deliveryId, body))) await delay(RETRY_MS);
      this.#accepted[sender]?.push(deliveryId);
    }
  }

  async #post(deliveryId: string, body: string): Promise<boolean> {
    const signing = { secret: this.#secret, deliveryId, eventType: 'e', timestampMs: Date.now() };
    this.#attempts += 1;
    try {
      const response = await fetch(this.#url(), {
        method: 'POST',
        headers: signHmac({ ...signing, body }),
        body,
        signal: AbortSignal.timeout(ATTEMPT_MS),
      });
      await response.body?.cancel();
      if (response.status === 202) return true;
      this.#refused += 1;
    } catch {
      this.#unanswered += 1;
    }
    return false;
  }
}
