import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryPublisher, NOW, SECRET, STANDARD_SECRET, serverDeps } from './fixtures.ts';
import { ingestSchema } from './openapi.ts';
import { signGithub } from './schemes/github.ts';
import { signHmac } from './schemes/hmac.ts';
import { signShopify } from './schemes/shopify.ts';
import { signSlack } from './schemes/slack.ts';
import { signStandardWebhooks } from './schemes/standard-webhooks.ts';
import { signStripe } from './schemes/stripe.ts';
import { buildWebhookServer } from './server.ts';

/** Whatever comes: 10,000 requests from everything that senders send, put together at random. */

type Sign = (body: Buffer, deliveryId: string) => Record<string, string>;
const hmac: Sign = (body, deliveryId) =>
  signHmac({ secret: SECRET, body, deliveryId, eventType: 'e', timestampMs: NOW });

const signers = new Map<string, Sign>(
  Object.entries({
    shop: hmac,
    multi: hmac,
    named: hmac,
    whole: hmac,
    lenient: hmac,
    github: (body, deliveryId) => signGithub({ secret: SECRET, body, deliveryId, event: 'e' }),
    standard: (body, id) =>
      signStandardWebhooks({ secret: STANDARD_SECRET, body, id, timestampMs: NOW }),
    stripe: (body) => signStripe({ secret: SECRET, body, timestampMs: NOW }),
    shopify: (body, webhookId) =>
      signShopify({ secret: SECRET, body, webhookId, topic: 't', shopDomain: 'a.shop' }),
    slack: (body) => signSlack({ secret: SECRET, body, timestampMs: NOW }),
  }),
);

const ascii = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const headerName = fc.constantFrom(
  ...['content-type', 'content-encoding', 'accept', 'prefer', 'x-request-id', 'traceparent'],
  ...['x-reachflow-signature', 'x-reachflow-delivery', 'x-reachflow-event', 'x-forwarded-for'],
  ...[
    'x-hub-signature-256',
    'x-github-delivery',
    'stripe-signature',
    'webhook-id',
    'webhook-signature',
  ],
  ...[
    'x-slack-signature',
    'x-shopify-hmac-sha256',
    'x-shopify-shop-domain',
    'constructor',
    '__proto__',
  ],
  ...[
    'ce-specversion',
    'ce-id',
    'ce-source',
    'ce-type',
    'ce-time',
    'ce-data',
    'ce-__proto__',
    'ce-x',
  ],
);
const headerValue = fc.oneof(
  ascii,
  fc.constantFrom(
    ...[
      't=1,v1=',
      'sha256=',
      'v1,',
      'v1a,',
      'v0=',
      'gzip',
      'identity',
      'br',
      '1.0',
      '%',
      '%zz',
      '\u00ff',
    ],
    ...[
      'application/json',
      'application/x-ndjson',
      'application/cloudevents+json',
      ';=;',
      'text/plain',
    ],
    ...['application/cloudevents-batch+json', 'application/cloudevents+xml', 'multipart/form-data'],
    ...['handling=lenient', 'handling=strict', `t=${NOW / 1_000},v1=${'0'.repeat(64)}`],
  ),
);
const headers = fc.dictionary(headerName, headerValue, { maxKeys: 5 });

const id = fc.oneof(fc.string(), fc.integer(), fc.constant(1e300), fc.constant(null));
const cloudEvent = fc.record(
  {
    specversion: fc.constantFrom('1.0', '1.0', '0.3', 1),
    id,
    source: fc.constantFrom('/s', '', 'é'),
    type: fc.string(),
    subject: fc.string(),
    time: fc.oneof(fc.string(), fc.constant('2026-01-15T12:00:00Z')),
    data: fc.jsonValue({ maxDepth: 2 }),
  },
  { requiredKeys: [] },
);
const tenant = fc.oneof(fc.constantFrom('a', 'b'), id);
const event = fc.record(
  { id, event_id: id, type: fc.string(), tenant, team_id: id, challenge: fc.string() },
  { requiredKeys: [] },
);
const value = fc.oneof(event, cloudEvent, fc.jsonValue({ maxDepth: 3 }));
const json = fc.oneof(value, fc.array(value, { maxLength: 6 })).map((each) => JSON.stringify(each));
const text = fc.oneof(
  json,
  fc.array(json, { maxLength: 5 }).map((lines) => lines.join('\n')),
  fc.tuple(json, fc.nat(), ascii).map(([good, n, junk]) => {
    const at = n % (good.length + 1);
    return good.slice(0, at) + junk + good.slice(at);
  }),
  fc.string({ unit: fc.constantFrom(...'{}[]",:\\u0123eE+-.truefalsn \n') }),
);
const body = fc.oneof(
  { weight: 8, arbitrary: text.map((each) => Buffer.from(each)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((each) => Buffer.from(each)) },
  { weight: 1, arbitrary: text.map((each) => gzipSync(each)) },
);
// `lenient` has the rarest answer.
const source = fc.constantFrom(
  ...signers.keys(),
  'lenient',
  'lenient',
  'nobody',
  '%zz',
  '__proto__',
  '../shop',
);
const delivery = fc.oneof({ weight: 3, arbitrary: fc.constant('d-1') }, ascii);

interface Answer {
  readonly event_id?: string;
  readonly event_ids?: readonly string[];
  readonly code?: string;
  readonly status?: unknown;
}

describe('whatever comes', () => {
  it('is refused as documented, or is stored, all of it and nothing else', {
    timeout: 300_000,
  }, async () => {
    const publisher = createMemoryPublisher();
    const app = buildWebhookServer(serverDeps(publisher, { bodyLimitBytes: 2_000, maxDepth: 8 }));
    const documented = new Set(Object.keys(ingestSchema.response).map(Number));
    const seen = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(
        source,
        headers,
        body,
        fc.boolean(),
        delivery,
        async (to, more, bytes, late, deliveryId) => {
          publisher.published.length = 0;
          const signature = signers.get(to)?.(bytes, deliveryId) ?? {};
          const response = await app.inject({
            method: 'POST',
            url: `/webhooks/ingest/${to}`,
            // In half of the requests what was generated takes the place of a good header.
            headers: late ? { ...signature, ...more } : { ...more, ...signature },
            payload: bytes,
          });
          const { statusCode } = response;
          seen.set(statusCode, (seen.get(statusCode) ?? 0) + 1);
          expect(statusCode).toBeLessThan(500);
          expect(documented.has(statusCode)).toBe(true);
          const answer = response.json<Answer>();
          if (statusCode >= 400) {
            expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
            expect(answer.status).toBe(statusCode);
          }
          const accepted =
            answer.event_ids ?? (answer.event_id === undefined ? [] : [answer.event_id]);
          expect(publisher.published.map(({ value: record }) => record.event_id)).toEqual(accepted);
          for (const { value: record } of publisher.published) {
            expect(() => JSON.parse(record.payload)).not.toThrow();
          }
        },
      ),
      { numRuns: 10_000 },
    );
    // The generators reach what they are made for.
    for (const status of [202, 207, 400, 401, 404, 415, 422]) {
      expect(seen.get(status) ?? 0, `answers of ${status}`).toBeGreaterThan(0);
    }
  });
});
