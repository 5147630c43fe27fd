import { createRequire } from 'node:module';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { WebhookConfig } from './config.ts';
import {
  createMemoryPublisher,
  kafkaError,
  type MemoryPublisher,
  NOW,
  OLD_SECRET,
  SECRET,
  serverDeps,
} from './fixtures.ts';
import { signGithub } from './schemes/github.ts';
import { signHmac } from './schemes/hmac.ts';
import { buildWebhookServer } from './server.ts';

interface GithubExample {
  readonly name: string;
  readonly examples: readonly Record<string, unknown>[];
}
const githubExamples = createRequire(import.meta.url)(
  '@octokit/webhooks-examples',
) as readonly GithubExample[];

let publisher: MemoryPublisher;
beforeEach(() => {
  publisher = createMemoryPublisher();
});

function server(overrides: Partial<WebhookConfig> = {}) {
  return buildWebhookServer(serverDeps(publisher, overrides));
}

type Body = string | Buffer;

function post(url: string, headers: Record<string, string>, payload: Body, app = server()) {
  return app.inject({ method: 'POST', url, headers, payload });
}

function signed(body: Body, changes: Partial<Parameters<typeof signHmac>[0]> = {}) {
  return signHmac({
    secret: SECRET,
    body,
    deliveryId: 'd-1',
    eventType: 'order.paid',
    timestampMs: NOW,
    ...changes,
  });
}

async function refused(response: Promise<Awaited<ReturnType<typeof post>>>) {
  const { statusCode, headers, body } = await response;
  expect(headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(publisher.published).toEqual([]);
  const problem = JSON.parse(body) as Record<string, unknown>;
  expect(problem).toMatchObject({
    status: statusCode,
    title: expect.any(String),
    detail: expect.stringMatching(/./),
    hint: expect.stringMatching(/./),
    request_id: headers['x-request-id'],
  });
  return { status: statusCode, code: problem['code'], headers, problem };
}

describe('an accepted webhook', () => {
  it('becomes one record, keyed by tenant and entity, with the payload unaltered', async () => {
    const body = '{ "id": 7, "price": 1.00, "__proto__": {} }';
    const response = await post('/webhooks/ingest/shop', signed(body), body);
    expect(response.statusCode).toBe(202);
    expect(response.json()).toEqual({ event_id: 'shop:d-1', status: 'accepted' });
    expect(publisher.published).toEqual([
      {
        key: 'acme:7',
        value: {
          event_id: 'shop:d-1',
          tenant_id: 'acme',
          source: 'shop',
          event_type: 'order.paid',
          delivery_id: 'd-1',
          entity_id: '7',
          occurred_at: NOW,
          received_at: NOW,
          payload: body,
        },
      },
    ]);
  });

  it('may be signed with any active secret', async () => {
    const response = await post(
      '/webhooks/ingest/shop',
      signed('{}', { secret: OLD_SECRET }),
      '{}',
    );
    expect(response.statusCode).toBe(202);
  });

  it('takes its tenant from the payload where the source says so', async () => {
    const body = '{"account":{"tenant":"globex"},"id":1}';
    await post('/webhooks/ingest/multi', signed(body), body);
    expect(publisher.published[0]?.key).toBe('globex:1');
  });

  it('is any JSON, whatever its content type', async () => {
    for (const type of ['application/json; charset=utf-8', 'text/plain', undefined]) {
      const headers: Record<string, string> = { ...signed('[1]') };
      delete headers['content-type'];
      if (type !== undefined) headers['content-type'] = type;
      expect((await post('/webhooks/ingest/shop', headers, '[1]')).statusCode).toBe(202);
    }
  });

  it('is answered only after it was published', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    publisher.gate = promise;
    let answered = false;
    const response = post('/webhooks/ingest/shop', signed('{}'), '{}').then((answer) => {
      answered = true;
      return answer;
    });
    await vi.waitFor(() => expect(publisher.calls).toBe(1));
    await new Promise((next) => setTimeout(next, 20));
    expect(answered).toBe(false);
    resolve();
    expect((await response).statusCode).toBe(202);
    expect(publisher.published).toHaveLength(1);
  });

  it('may be any real GitHub payload', async () => {
    const app = server();
    let sent = 0;
    for (const { name, examples } of githubExamples) {
      for (const example of examples) {
        const body = JSON.stringify(example);
        const headers = signGithub({ secret: SECRET, body, deliveryId: `g-${sent}`, event: name });
        const response = await post('/webhooks/ingest/github', headers, body, app);
        expect(response.statusCode).toBe(202);
        const published = publisher.published[sent];
        expect(published?.value).toMatchObject({ event_type: name, payload: body });
        expect(published?.key).toMatch(/^octo:./);
        sent += 1;
      }
    }
    expect(sent).toBeGreaterThan(300);
    expect(publisher.published).toHaveLength(sent);
  });
});

describe('a refused webhook publishes nothing and says why', () => {
  it('404: unknown source, whatever else is wrong with it', async () => {
    for (const source of ['nobody', '__proto__', 'constructor', '%00', 'x'.repeat(90)]) {
      const answer = await refused(post(`/webhooks/ingest/${source}`, {}, '{'));
      expect(answer).toMatchObject({ status: 404, code: 'SOURCE_UNKNOWN' });
    }
    const url = '/webhooks/ingest/shop';
    expect(await refused(post(url, signed('{}'), '{}', server({ sources: {} })))).toMatchObject({
      status: 404,
    });
  });

  it('404: another path; 405: another method', async () => {
    const app = server();
    const nowhere = app.inject({ method: 'GET', url: '/webhooks' });
    expect(await refused(nowhere)).toMatchObject({ status: 404, code: 'ROUTE_UNKNOWN' });
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const) {
      const other = app.inject({ method, url: '/webhooks/ingest/shop?x=1' });
      expect(await refused(other)).toMatchObject({
        status: 405,
        code: 'METHOD_NOT_ALLOWED',
        headers: { allow: 'POST' },
      });
    }
  });

  it('413: one byte over the limit; the limit itself is accepted', async () => {
    const app = server({ bodyLimitBytes: 1_000 });
    const fits = `"${'x'.repeat(998)}"`;
    const larger = `"${'x'.repeat(999)}"`;
    const huge = `"${'x'.repeat(5_000)}"`;
    for (const body of [larger, huge]) {
      const answer = await refused(post('/webhooks/ingest/shop', signed(body), body, app));
      expect(answer).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
    }
    expect((await post('/webhooks/ingest/shop', signed(fits), fits, app)).statusCode).toBe(202);
  });

  it('401: no, a wrong, or a stale signature, before anything is said of the body', async () => {
    const url = '/webhooks/ingest/shop';
    const stale = signed('{', { timestampMs: NOW - 301_000 });
    const early = signed('{', { timestampMs: NOW + 301_000 });
    const foreign = signed('{', { secret: 'some-other-secret' });
    expect(await refused(post(url, {}, '{'))).toMatchObject({
      status: 401,
      code: 'SIGNATURE_MISSING',
    });
    expect(await refused(post(url, foreign, '{'))).toMatchObject({ code: 'SIGNATURE_MISMATCH' });
    expect(await refused(post(url, stale, '{'))).toMatchObject({ status: 401 });
    expect(await refused(post(url, early, '{'))).toMatchObject({
      code: 'TIMESTAMP_OUTSIDE_WINDOW',
    });
    expect(await refused(post(url, {}, ''))).toMatchObject({ status: 401 });
  });

  it('400: no delivery id, no event type', async () => {
    const url = '/webhooks/ingest/shop';
    expect(await refused(post(url, signed('{}', { deliveryId: '' }), '{}'))).toMatchObject({
      status: 400,
      code: 'DELIVERY_ID_MISSING',
    });
    const { 'x-reachflow-event': _event, ...untyped } = signed('{}', { eventType: '' });
    expect(await refused(post(url, untyped, '{}'))).toMatchObject({
      status: 400,
      code: 'EVENT_TYPE_MISSING',
    });
  });

  it('400: broken JSON with its position, an empty body, bytes that are not UTF-8', async () => {
    const url = '/webhooks/ingest/shop';
    const broken = '{\n  "id": 1,\n}';
    expect(await refused(post(url, signed(broken), broken))).toMatchObject({
      status: 400,
      code: 'JSON_INVALID',
      problem: { position: { line: 3, column: 1, byte: 13 } },
    });
    expect(await refused(post(url, signed(''), ''))).toMatchObject({ code: 'JSON_INVALID' });
    const latin1 = Buffer.from('"é"', 'latin1');
    expect(await refused(post(url, signed(latin1), latin1))).toMatchObject({
      status: 400,
      code: 'UTF8_INVALID',
    });
    const deep = '['.repeat(101) + ']'.repeat(101);
    expect(await refused(post(url, signed(deep), deep))).toMatchObject({ code: 'JSON_TOO_DEEP' });
  });

  it('422: a payload without its tenant', async () => {
    expect(await refused(post('/webhooks/ingest/multi', signed('{}'), '{}'))).toMatchObject({
      status: 422,
      code: 'TENANT_MISSING',
    });
  });

  it.each([
    [kafkaError('KAFKA_UNAVAILABLE', 'backoff'), 503, 'KAFKA_UNAVAILABLE'],
    [kafkaError('PUBLISH_QUEUE_FULL', 'backoff'), 503, 'PUBLISH_QUEUE_FULL'],
    [kafkaError('SCHEMA_MISMATCH', 'none'), 500, 'SCHEMA_MISMATCH'],
    [new TypeError('a bug with secret details'), 500, 'INTERNAL'],
    ['not even an error', 500, 'INTERNAL'],
  ])('what the publisher throws: %s is %d', async (failure, status, code) => {
    publisher.failure = failure;
    const answer = await refused(post('/webhooks/ingest/shop', signed('{}'), '{}'));
    expect(answer).toMatchObject({ status, code });
    expect(answer.headers['retry-after']).toBe(status === 503 ? '5' : undefined);
    expect(JSON.stringify(answer.problem)).not.toContain('secret details');
  });

  it('503: a broker that does not answer in time', async () => {
    publisher.gate = new Promise(() => undefined);
    const app = server({ ackTimeoutMs: 100, retryAfterSeconds: 9 });
    const answer = await refused(post('/webhooks/ingest/shop', signed('{}'), '{}', app));
    expect(answer).toMatchObject({
      status: 503,
      code: 'ACK_TIMEOUT',
      headers: { 'retry-after': '9' },
    });
  });

  it('503: more bodies in memory than allowed, until they are done', async () => {
    const app = server({ maxBufferedBytes: 1_000 });
    const { promise, resolve } = Promise.withResolvers<void>();
    publisher.gate = promise;
    const body = `"${'x'.repeat(598)}"`;
    const first = post('/webhooks/ingest/shop', signed(body), body, app);
    await vi.waitFor(() => expect(publisher.calls).toBe(1));
    const second = await refused(post('/webhooks/ingest/shop', signed(body), body, app));
    expect(second).toMatchObject({
      status: 503,
      code: 'OVERLOADED',
      headers: { 'retry-after': '5' },
    });
    resolve();
    expect((await first).statusCode).toBe(202);
    expect((await post('/webhooks/ingest/shop', signed(body), body, app)).statusCode).toBe(202);
  });
});
