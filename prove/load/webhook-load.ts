import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type { webhookConfigSchema } from '../../connectors/webhook/config.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import type { Random } from '../../demo/input/random.ts';

export const PROVE_SOURCE = 'prove';

/** Where an event stands: the n-th of its entity. */
export interface Sequence {
  readonly entity: string;
  readonly seq: number;
}

export interface WebhookLoadOptions {
  readonly secret: string;
  readonly random: Random;
  /** Makes delivery ids unique to the run. */
  readonly runId: string;
  /** Webhooks per second. */
  readonly rate: number;
  /** Base URLs of the ingestors that take webhooks now; none while all are away. */
  readonly urls: () => readonly string[];
}

/** The source that the load's webhooks are signed for. */
export function proveSources(
  secret: string,
): NonNullable<z.input<typeof webhookConfigSchema>['sources']> {
  return {
    [PROVE_SOURCE]: {
      scheme: 'hmac',
      secrets: [secret],
      tenant: 'prove',
      tenantPointer: '/tenant',
      eventTypePointer: '/type',
      occurredAtPointer: '/at',
      entityPointers: ['/entity'],
    },
  };
}

const ENTITIES = 100;
const TENANTS = 7;
/** Share of accepted webhooks that is sent once more: senders miss answers. */
const REPEATED = 0.1;
const REQUEST_TIMEOUT_MS = 8_000;
const RETRY_MS = 150;

/**
 * Signed webhooks of many entities, those of one entity one after the other: the next is sent when the last is
 * accepted. A sender that gets no answer, or 429 or 503, tries again with the same id until it is accepted.
 */
export class WebhookLoad {
  /** Event id → place in its entity's order, of everything answered with 202. */
  readonly accepted = new Map<string, Sequence>();
  /** Sent, and not answered when the run ended: may be there or not. */
  readonly unanswered = new Set<string>();
  /** Statuses other than 202, 429 and 503: there should be none. */
  readonly refused: string[] = [];
  attempts = 0;
  readonly #options: WebhookLoadOptions;

  constructor(options: WebhookLoadOptions) {
    this.#options = options;
  }

  /** Sends until the signal, then waits for the answers to what is under way, `graceMs` at most. */
  async run(signal: AbortSignal, graceMs: number): Promise<void> {
    const grace = new AbortController();
    signal.addEventListener('abort', () => setTimeout(() => grace.abort(), graceMs).unref(), {
      once: true,
    });
    const senders = Array.from({ length: ENTITIES }, (_, n) =>
      this.#sender(`e${n}`, `prove-${n % TENANTS}`, signal, grace.signal),
    );
    await Promise.all(senders);
  }

  async #sender(
    entity: string,
    tenant: string,
    signal: AbortSignal,
    grace: AbortSignal,
  ): Promise<void> {
    const { random, rate, runId } = this.#options;
    const pauseMs = (1_000 * ENTITIES) / rate;
    await delay(random.int(Math.ceil(pauseMs)), undefined, { signal }).catch(() => undefined);
    for (let seq = 0; !signal.aborted; seq += 1) {
      const began = performance.now();
      const deliveryId = `${runId}-${entity}-${seq}`;
      const body = { type: 'prove.tick', tenant, entity, seq, at: new Date().toISOString() };
      const isAccepted = await this.#deliver(deliveryId, { entity, seq }, body, grace);
      if (!isAccepted) return;
      if (random.chance(REPEATED)) await this.#post(deliveryId, body, grace);
      const wait = Math.max(0, pauseMs - (performance.now() - began));
      await delay(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Until it is accepted. False when the run ended before. */
  async #deliver(
    deliveryId: string,
    place: Sequence,
    body: object,
    grace: AbortSignal,
  ): Promise<boolean> {
    const eventId = `${PROVE_SOURCE}:${deliveryId}`;
    while (!grace.aborted) {
      const status = await this.#post(deliveryId, body, grace);
      if (status === 202) {
        this.unanswered.delete(eventId);
        this.accepted.set(eventId, place);
        return true;
      }
      if (status === undefined) this.unanswered.add(eventId);
      else if (status !== 429 && status !== 503) {
        this.refused.push(`${status} for ${deliveryId}`);
        return false;
      }
      await delay(RETRY_MS, undefined, { signal: grace }).catch(() => undefined);
    }
    return false;
  }

  /** The answer's status; undefined without an answer. */
  async #post(deliveryId: string, body: object, grace: AbortSignal): Promise<number | undefined> {
    const { urls, random, secret } = this.#options;
    const alive = urls();
    if (alive.length === 0) return 503;
    const bytes = Buffer.from(JSON.stringify(body));
    this.attempts += 1;
    try {
      const response = await fetch(`${random.pick(alive)}/webhooks/ingest/${PROVE_SOURCE}`, {
        method: 'POST',
        headers: signHmac({
          secret,
          body: bytes,
          deliveryId,
          eventType: 'prove.tick',
          timestampMs: Date.now(),
        }),
        body: new Uint8Array(bytes),
        signal: AbortSignal.any([AbortSignal.timeout(REQUEST_TIMEOUT_MS), grace]),
      });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return undefined;
    }
  }
}
