import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Spool } from '../../runtime/spool/open-spool.ts';
import { describeConnectorConformance } from '../conformance.ts';
import type { WebhookConfig } from './config.ts';
import {
  createMemoryPublisher,
  kafkaError,
  type MemoryPublisher,
  SECRET,
  silent,
  testConfig,
} from './fixtures.ts';
import { signHmac } from './schemes/hmac.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

describeConnectorConformance('webhook', () =>
  createWebhookConnector(testConfig(), { publisher: createMemoryPublisher(), logger: silent }),
);

let publisher: MemoryPublisher;
let connector: WebhookConnector;
/** How far the connector's clock is ahead, ms. */
let ahead = 0;
const started: WebhookConnector[] = [];
const sockets: Socket[] = [];

beforeEach(() => {
  ahead = 0;
  publisher = createMemoryPublisher();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const each of started.splice(0)) await each.stop();
});

async function start(overrides: Partial<WebhookConfig> = {}): Promise<string> {
  connector = createWebhookConnector(testConfig(overrides), {
    publisher,
    logger: silent,
    clock: () => Date.now() + ahead,
  });
  started.push(connector);
  await connector.start();
  return connector.url();
}

function headersFor(body: string | Uint8Array): Record<string, string> {
  return signHmac({
    secret: SECRET,
    body,
    deliveryId: 'd-1',
    eventType: 'e',
    timestampMs: Date.now(),
  });
}

function send(url: string, body: string): Promise<Response> {
  return fetch(`${url}/webhooks/ingest/shop`, { method: 'POST', headers: headersFor(body), body });
}

/** A raw connection that has sent `text`, and what it received until it was closed. */
async function raw(
  url: string,
  text: string,
): Promise<{ socket: Socket; received: Promise<string> }> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  await once(socket, 'connect');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString();
  });
  socket.on('error', () => undefined);
  const received = once(socket, 'close').then(() => answer);
  socket.write(text);
  return { socket, received };
}

function head(body: string, length = Buffer.byteLength(body)): string {
  const lines = Object.entries(headersFor(body)).map(([name, value]) => `${name}: ${value}`);
  return [
    'POST /webhooks/ingest/shop HTTP/1.1',
    'host: localhost',
    `content-length: ${length}`,
    ...lines,
    '\r\n',
  ].join('\r\n');
}

describe('over a real socket', () => {
  it('accepts a body in pieces', async () => {
    const url = await start();
    const body = JSON.stringify({ id: 1, text: 'é'.repeat(1_000) });
    const bytes = Buffer.from(body);
    const answer = await new Promise<number>((resolve, reject) => {
      const outgoing = request(
        `${url}/webhooks/ingest/shop`,
        { method: 'POST', headers: headersFor(body) },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      outgoing.on('error', reject);
      for (let at = 0; at < bytes.length; at += 101) outgoing.write(bytes.subarray(at, at + 101));
      outgoing.end();
    });
    expect(answer).toBe(202);
    expect(publisher.published[0]?.value.payload).toBe(body);
  });

  it('publishes nothing of a body that is cut off, and goes on', async () => {
    const url = await start();
    const body = '{"id":1}';
    const { socket, received } = await raw(url, head(body) + body.slice(0, -1));
    await delay(50);
    socket.destroy();
    await received;
    expect((await send(url, body)).status).toBe(202);
    expect(publisher.published).toHaveLength(1);
  });

  it('ends a body that drips too slowly with 408, publishing nothing', async () => {
    const url = await start({ headersTimeoutMs: 300, requestTimeoutMs: 300 });
    const { socket, received } = await raw(url, head('{"id":1}'));
    const drip = setInterval(() => socket.write(' '), 200);
    try {
      expect(await received).toMatch(/^HTTP\/1\.1 408 .*"code":"REQUEST_TIMEOUT"/s);
    } finally {
      clearInterval(drip);
    }
    expect(publisher.published).toEqual([]);
  });

  it('ends headers that never end with 408', async () => {
    const url = await start({ headersTimeoutMs: 300, requestTimeoutMs: 2_000 });
    const { received } = await raw(url, 'POST /webhooks/ingest/shop HTTP/1.1\r\nx-a: b\r\n');
    expect(await received).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('answers what is not HTTP with a problem document', async () => {
    const url = await start();
    const { received } = await raw(url, 'HELO mail\r\n\r\n');
    expect(await received).toMatch(/^HTTP\/1\.1 400 .*application\/problem\+json/s);
  });

  it('answers a body over the limit with 413, also while it is being sent', async () => {
    const url = await start({ bodyLimitBytes: 1_048_576 });
    const response = await send(url, `"${'x'.repeat(1_500_000)}"`);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ code: 'BODY_TOO_LARGE', limit_bytes: 1_048_576 });
    expect(publisher.published).toEqual([]);
  });
});

describe('health', () => {
  it('is live and ready, and unready for a while after the store refused an event', async () => {
    const url = await start({ retryAfterSeconds: 60 });
    const ready = async () => (await fetch(`${url}/health/ready`)).status;
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    expect(await ready()).toBe(200);
    publisher.failure = kafkaError('KAFKA_UNAVAILABLE', 'backoff');
    expect((await send(url, '{}')).status).toBe(503);
    expect(await ready()).toBe(503);
    expect(await connector.status()).toMatchObject({
      state: 'degraded',
      detail: expect.stringContaining('KAFKA_UNAVAILABLE'),
    });
    ahead = 60_001;
    expect(await ready()).toBe(200);
    publisher.failure = undefined;
    expect((await send(url, '{}')).status).toBe(202);
    expect((await connector.status()).state).toBe('running');
  });
});

describe('with a spool', () => {
  /** The contract's test double: stands as it is told to, and notes when it is closed. */
  function spoolOf(standing: Partial<Spool['standing']>) {
    const own = createMemoryPublisher();
    const idle = { mode: 'direct', bytes: 0, records: 0, spooled: 0, drained: 0 } as const;
    const spool = {
      publish: own.publish.bind(own),
      standing: { ...idle, oldestAt: undefined, damagedBytes: 0, failure: undefined, ...standing },
      close: vi.fn(async () => undefined),
    };
    return { own, spool };
  }

  async function startWith(spool: Spool, overrides: Partial<WebhookConfig> = {}): Promise<string> {
    const openSpool = vi.fn(async () => spool);
    const config = testConfig(overrides);
    connector = createWebhookConnector(config, { publisher, openSpool, logger: silent });
    started.push(connector);
    await connector.start();
    expect(openSpool.mock.calls).toEqual(
      config.spool.enabled ? [['webhook.received', config.spool]] : [],
    );
    return connector.url();
  }

  it('publishes through it, and closes it after the last request', async () => {
    const { own, spool } = spoolOf({});
    const url = await startWith(spool);
    expect((await send(url, '{"id":1}')).status).toBe(202);
    expect(own.published).toHaveLength(1);
    expect(publisher.published).toEqual([]);
    expect((await connector.status()).state).toBe('running');
    await connector.stop();
    expect(spool.close).toHaveBeenCalledTimes(1);
  });

  it('is ready but degraded while events are on disk, and says how many and why', async () => {
    const oldestAt = Date.now() - 5_000;
    const { spool } = spoolOf({ mode: 'spooling', records: 7, bytes: 900, oldestAt, failure: 'x' });
    const url = await startWith(spool);
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    const { state, detail } = await connector.status();
    expect(state).toBe('degraded');
    expect(detail).toMatch(
      /7 events \(900 bytes, oldest \d+ s\) are in the spool, not drained: x$/,
    );
  });

  it('reports damage also when it is drained', async () => {
    const { spool } = spoolOf({ damagedBytes: 12 });
    await startWith(spool);
    expect(await connector.status()).toMatchObject({
      state: 'degraded',
      detail: expect.stringContaining('12 damaged bytes were set aside'),
    });
  });

  it('answers 503 with Retry-After when it is full', async () => {
    const { own, spool } = spoolOf({});
    const url = await startWith(spool);
    own.failure = kafkaError('SPOOL_FULL', 'backoff');
    const response = await send(url, '{}');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).not.toBeNull();
    expect(await response.json()).toMatchObject({ code: 'SPOOL_FULL' });
  });

  it('does without where the configuration says so', async () => {
    const { own, spool } = spoolOf({});
    const { spool: config } = testConfig();
    const url = await startWith(spool, { spool: { ...config, enabled: false } });
    expect((await send(url, '{"id":1}')).status).toBe(202);
    expect(own.published).toEqual([]);
    expect(connector.spools).toBe(false);
  });
});

describe('stop', () => {
  it('finishes what it accepted and refuses what comes after', async () => {
    const url = await start();
    const { promise, resolve } = Promise.withResolvers<void>();
    publisher.gate = promise;
    const accepted = send(url, '{"id":1}');
    await vi.waitFor(() => expect(publisher.calls).toBe(1));
    const stopped = connector.stop();
    await delay(50);
    await expect(send(url, '{"id":2}')).rejects.toThrow();
    resolve();
    expect((await accepted).status).toBe(202);
    await stopped;
    expect(publisher.published).toHaveLength(1);
    expect((await connector.status()).state).toBe('stopped');
    expect(() => connector.url()).toThrow(/not listening/);
  });

  it('does not wait for ever', async () => {
    const url = await start({ shutdownTimeoutMs: 200, ackTimeoutMs: 60_000 });
    publisher.gate = new Promise(() => undefined);
    const hanging = send(url, '{}').catch(() => 'cut');
    await vi.waitFor(() => expect(publisher.calls).toBe(1));
    const began = Date.now();
    await connector.stop();
    expect(Date.now() - began).toBeLessThan(30_000);
    expect(await hanging).toBe('cut');
  });

  it('names a port that is taken', async () => {
    const url = await start();
    const port = Number(new URL(url).port);
    const second = createWebhookConnector(testConfig({ port }), { publisher, logger: silent });
    await expect(second.start()).rejects.toMatchObject({
      code: 'WEBHOOK_LISTEN_FAILED',
      hint: expect.stringContaining('webhook.port'),
    });
    expect((await second.status()).state).toBe('stopped');
  });
});
