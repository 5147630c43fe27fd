import { pino } from 'pino';
import { ReachflowError } from '../../runtime/errors.ts';
import type { Publication, Publisher } from '../../runtime/kafka/publisher.ts';
import type { TopicName } from '../../schemas/topics.ts';
import { type WebhookConfig, webhookConfigSchema } from './config.ts';
import type { WebhookServerDeps } from './server-deps.ts';

/** What the unit tests of this folder share. Tests only. */

export const SECRET = 'correct-horse-battery-staple';
export const OLD_SECRET = 'the-secret-before-the-rotation';
/** `SECRET` as a key of Standard Webhooks. */
export const STANDARD_SECRET = `whsec_${Buffer.from(SECRET).toString('base64')}`;
export const NOW = Date.UTC(2026, 0, 15, 12, 0, 0);
export const silent = pino({ level: 'silent' });

type WebhookPublication = Publication<'webhook.received'>;

/** The contract's test double: keeps what was published, or fails as it is told to. */
export interface MemoryPublisher extends Publisher {
  readonly published: WebhookPublication[];
  /** How often publish was called. */
  calls: number;
  /** Thrown by each publish while it is set. */
  failure: unknown;
  /** Awaited before each publish resolves. */
  gate: Promise<void>;
}

export function createMemoryPublisher(): MemoryPublisher {
  const published: WebhookPublication[] = [];
  return {
    published,
    calls: 0,
    failure: undefined,
    gate: Promise.resolve(),
    async publish<T extends TopicName>(topic: T, record: Publication<T>) {
      if (topic !== 'webhook.received') throw new Error(`unexpected topic ${topic}`);
      this.calls += 1;
      await this.gate;
      if (this.failure !== undefined) throw this.failure;
      published.push(record as unknown as WebhookPublication);
    },
  };
}

/** What the ingestor's server needs, around a publisher; no port is opened. */
export function serverDeps(
  publisher: Publisher,
  overrides: Partial<WebhookConfig> = {},
): WebhookServerDeps {
  const config = testConfig(overrides);
  return {
    config,
    publisher,
    secrets: (source) => config.sources[source]?.secrets ?? [],
    logger: silent,
    clock: () => NOW,
    isStopping: () => false,
    unready: () => undefined,
    onPublished: () => undefined,
  };
}

export function kafkaError(code: string, retry: 'none' | 'backoff'): ReachflowError {
  return new ReachflowError(`test: ${code}`, { code, domain: 'external', retry });
}

/** A source of each scheme, some with more to say, and a free port. */
export function testConfig(overrides: Partial<WebhookConfig> = {}): WebhookConfig {
  return {
    ...webhookConfigSchema.parse({
      port: 0,
      sources: {
        shop: { scheme: 'hmac', tenant: 'acme', secrets: [SECRET, OLD_SECRET] },
        github: { scheme: 'github', tenant: 'octo', secrets: [SECRET] },
        multi: { scheme: 'hmac', tenantPointer: '/account/tenant', secrets: [SECRET] },
        named: {
          scheme: 'hmac',
          tenant: 'acme',
          secrets: [SECRET],
          eventIdPointer: '/event_id',
          eventTypePointer: '/type',
        },
        whole: { scheme: 'hmac', tenant: 'acme', secrets: [SECRET], arrays: 'event' },
        lenient: {
          scheme: 'hmac',
          tenantPointer: '/tenant',
          secrets: [SECRET],
          batchHandling: 'lenient',
        },
        standard: { scheme: 'standard-webhooks', tenant: 'acme', secrets: [STANDARD_SECRET] },
        stripe: { scheme: 'stripe', tenant: 'acme', secrets: [SECRET] },
        shopify: { scheme: 'shopify', tenantHeader: 'x-shopify-shop-domain', secrets: [SECRET] },
        slack: { scheme: 'slack', tenantPointer: '/team_id', secrets: [SECRET] },
      },
    }),
    ...overrides,
  };
}
