import { createHash, randomBytes } from 'node:crypto';
import { signGithub } from '../../connectors/webhook/schemes/github.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import { createGithub, type GithubExample } from './github.ts';
import type { Random } from './random.ts';
import { createShop } from './shop.ts';
import { BODY_LIMIT_BYTES, type DemoSecrets } from './sources.ts';

/** The requests that must be refused, and the status of each. */
export const BROKEN = {
  'bad signature': 401,
  'no signature': 401,
  'stale timestamp': 401,
  'broken JSON': 400,
  'too large': 413,
  'unknown source': 404,
} as const;

export type BrokenKind = keyof typeof BROKEN;

/** One webhook as its sender means it; each attempt to send it is signed anew. */
export interface Delivery {
  /** Path segment: POST /webhooks/ingest/<source>. */
  readonly source: string;
  readonly deliveryId: string;
  readonly body: Buffer;
  readonly kind: 'valid' | BrokenKind;
  /** The status it must be answered with. */
  readonly expected: number;
  /** How often it is sent with the same id: a sender that missed our answer tries again. */
  readonly sends: 1 | 2 | 3;
  /** Headers of an attempt. @param nowMs the sender's clock. */
  readonly headers: (nowMs: number) => Record<string, string>;
}

/** Every n-th delivery is a broken one; the kinds take turns, so that a short run has them all. */
export const BROKEN_EVERY = 20;
/** Share of the valid ones that is sent more than once. */
const RETRIED = 0.1;
const STALE_MS = 3_600_000;

export interface DeliveryOptions {
  readonly random: Random;
  /** Makes delivery ids unique to this run. */
  readonly runId: string;
  readonly secrets: DemoSecrets;
  readonly examples: readonly GithubExample[];
}

/** `<source>:<delivery id>`: the event id that the ingestor gives a delivery. */
export function eventIdOf(delivery: Pick<Delivery, 'source' | 'deliveryId'>): string {
  return `${delivery.source}:${delivery.deliveryId}`;
}

/** MD5 in hex, lower case: to compare a payload with ClickHouse's `MD5()`, not for security. */
export function digestOf(body: Buffer | string): string {
  return createHash('md5').update(body).digest('hex');
}

/** An endless, seeded stream of deliveries of two sources: real GitHub payloads and a shop's orders. */
export function createDeliveries(options: DeliveryOptions): { next(nowMs: number): Delivery } {
  const { random, runId, secrets } = options;
  const github = createGithub(random, options.examples);
  const shop = createShop(random, runId);
  const kinds = Object.keys(BROKEN) as BrokenKind[];
  let count = 0;
  let broken = 0;

  const valid = (deliveryId: string, nowMs: number): Delivery => {
    const base = { deliveryId, kind: 'valid', expected: 202, sends: 1 } as const;
    if (random.chance(0.5)) {
      const { event, body } = github.next();
      const input = { secret: secrets.github, body, deliveryId, event };
      return { ...base, source: 'github', body, headers: () => signGithub(input) };
    }
    const { body: text, eventType } = shop.next(nowMs);
    const body = Buffer.from(text);
    const headers = (timestampMs: number) =>
      signHmac({ secret: secrets.shop, body, deliveryId, eventType, timestampMs });
    return { ...base, source: 'shop', body, headers };
  };

  return {
    next(nowMs) {
      count += 1;
      const deliveryId = `${runId}-${String(count).padStart(7, '0')}`;
      if (count % BROKEN_EVERY === 0) {
        const kind = kinds[broken % kinds.length] ?? 'bad signature';
        broken += 1;
        return spoil(valid(deliveryId, nowMs), kind, secrets);
      }
      const delivery = valid(deliveryId, nowMs);
      if (!random.chance(RETRIED)) return delivery;
      return { ...delivery, sends: random.chance(0.3) ? 3 : 2 };
    },
  };
}

/** Makes a broken delivery of a good one. Everything else about it stays right: only one thing is refused. */
function spoil(delivery: Delivery, kind: BrokenKind, secrets: DemoSecrets): Delivery {
  const spoiled = { ...delivery, kind, expected: BROKEN[kind] };
  const { deliveryId } = delivery;
  const sign = (body: Buffer, timestampMs: number) =>
    signHmac({ secret: secrets.shop, body, deliveryId, eventType: 'order.created', timestampMs });
  switch (kind) {
    case 'bad signature': {
      const wrong = randomBytes(24).toString('hex');
      const { body } = delivery;
      const headers = () => signGithub({ secret: wrong, body, deliveryId, event: 'push' });
      return { ...spoiled, source: 'github', headers };
    }
    case 'no signature':
      return { ...spoiled, headers: () => ({ 'content-type': 'application/json' }) };
    case 'stale timestamp':
      return {
        ...spoiled,
        source: 'shop',
        headers: (nowMs) => sign(delivery.body, nowMs - STALE_MS),
      };
    case 'broken JSON': {
      const body = delivery.body.subarray(0, Math.max(1, delivery.body.length >>> 1));
      return { ...spoiled, source: 'shop', body, headers: (nowMs) => sign(body, nowMs) };
    }
    case 'too large': {
      const body = Buffer.from(
        JSON.stringify({ type: 'order.note', note: 'x'.repeat(BODY_LIMIT_BYTES) }),
      );
      return { ...spoiled, source: 'shop', body, headers: (nowMs) => sign(body, nowMs) };
    }
    case 'unknown source':
      return { ...spoiled, source: 'nosuch' };
  }
}
