import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { WebhookConfig } from './config.ts';
import {
  createMemoryPublisher,
  type MemoryPublisher,
  SECRET,
  silent,
  testConfig,
} from './fixtures.ts';
import { signHmac } from './schemes/hmac.ts';
import { createWebhookConnector, type WebhookConnector } from './webhook-connector.ts';

/** What a hostile or broken client can do to the listening server. */

let publisher: MemoryPublisher;
let connector: WebhookConnector;
const sockets: Socket[] = [];

beforeEach(() => {
  publisher = createMemoryPublisher();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await connector.stop();
});

async function start(overrides: Partial<WebhookConfig> = {}): Promise<string> {
  connector = createWebhookConnector(testConfig(overrides), { publisher, logger: silent });
  await connector.start();
  return connector.url();
}

interface Raw {
  readonly socket: Socket;
  /** Everything, until the connection is closed. */
  readonly received: Promise<string>;
}

async function raw(url: string, bytes: string | Buffer): Promise<Raw> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  sockets.push(socket);
  await once(socket, 'connect');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => void chunks.push(chunk));
  socket.on('error', () => undefined);
  const received = once(socket, 'close').then(() => Buffer.concat(chunks).toString());
  socket.write(bytes);
  return { socket, received };
}

let count = 0;
function signed(body: string | Buffer): Record<string, string> {
  count += 1;
  const signing = { secret: SECRET, deliveryId: `d-${count}`, eventType: 'e' };
  return signHmac({ ...signing, body, timestampMs: Date.now() });
}

/** A whole request as bytes. */
function requestOf(body: string, headers: Record<string, string> = signed(body)): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = `content-length: ${Buffer.byteLength(body)}\r\n`;
  return `POST /webhooks/ingest/shop HTTP/1.1\r\nhost: h\r\n${length}${lines.join('')}\r\n${body}`;
}

function send(url: string, body: string | Buffer): Promise<Response> {
  const bytes = typeof body === 'string' ? body : new Uint8Array(body);
  return fetch(`${url}/webhooks/ingest/shop`, {
    method: 'POST',
    headers: signed(body),
    body: bytes,
  });
}

/** It still takes webhooks. */
async function expectWell(url: string): Promise<void> {
  expect((await send(url, '{"id":"after"}')).status).toBe(202);
}

const PROBLEM = /content-type: application\/problem\+json/i;

describe('slow clients', () => {
  it('many that never finish their headers are ended, and others are served meanwhile', async () => {
    const url = await start({ headersTimeoutMs: 300, requestTimeoutMs: 2_000 });
    const slow = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        raw(url, `POST /webhooks/ingest/shop HTTP/1.1\r\nx-${i}: `),
      ),
    );
    const drip = setInterval(() => {
      for (const { socket } of slow) if (socket.writable) socket.write('x');
    }, 100);
    try {
      // On a busy machine its headers may be late, too.
      await vi.waitFor(() => expectWell(url), 30_000);
      for (const answer of await Promise.all(slow.map(({ received }) => received))) {
        expect(answer).toMatch(/^HTTP\/1\.1 408 /);
        expect(answer).toMatch(PROBLEM);
      }
    } finally {
      clearInterval(drip);
    }
  });

  it('one that does not read its answers holds nobody up', async () => {
    const url = await start();
    const many = Array.from({ length: 500 }, () => requestOf('{"id":1}')).join('');
    const { socket } = await raw(url, '');
    socket.pause();
    socket.write(many);
    await expectWell(url);
  });
});

describe('headers', () => {
  const line = 'GET /health/live HTTP/1.1\r\nhost: h\r\n';

  it.each([
    ['one that is too long', `x-bomb: ${'x'.repeat(20_000)}\r\n`],
    ['too many', Array.from({ length: 5_000 }, (_, i) => `x-${i}: ${i}\r\n`).join('')],
    ['a name that is too long', `${'x'.repeat(20_000)}: 1\r\n`],
  ])('%s: 431', async (_what, headers) => {
    const url = await start();
    const { received } = await raw(url, `${line}${headers}\r\n`);
    const answer = await received;
    expect(answer).toMatch(/^HTTP\/1\.1 431 .*"code":"HEADERS_TOO_LARGE"/s);
    expect(answer).toMatch(PROBLEM);
    await expectWell(url);
  });

  it.each([
    ['no host', 'GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n', 400],
    ['an expectation', `${line}expect: miracles\r\n\r\n`, 417],
    ['two lengths', `${line}content-length: 1\r\ncontent-length: 2\r\n\r\n`, 400],
    ['a length and chunks', `${line}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`, 400],
    ['a negative length', `${line}content-length: -1\r\n\r\n`, 400],
    ['a folded line', `${line}x-a: 1\r\n folded: 2\r\n\r\n`, 400],
    ['a null byte', `${line}x-a: a\0b\r\n\r\n`, 400],
    ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['TLS', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03]), 400],
    [
      'a URL that cannot be decoded',
      'GET /%ff HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n',
      400,
    ],
  ])('%s is a problem', async (_what, bytes, status) => {
    const url = await start();
    const answer = await (await raw(url, bytes)).received;
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toMatch(PROBLEM);
    expect(answer).toMatch(/x-request-id: /i);
    await expectWell(url);
  });

  it('the request id of the sender comes back, if it is one', async () => {
    const url = await start();
    const echo = async (id: string) => {
      const response = await fetch(`${url}/nowhere`, { headers: { 'x-request-id': id } });
      const { request_id: inBody } = (await response.json()) as { request_id: string };
      expect(response.headers.get('x-request-id')).toBe(inBody);
      return inBody;
    };
    expect(await echo('order-7/attempt:2')).toBe('order-7/attempt:2');
    for (const bad of ['with space', '"><script>', 'x'.repeat(129)]) {
      expect(await echo(bad)).toMatch(/^[0-9a-f-]{36}$/);
    }
  });
});

describe('pipelined requests', () => {
  it('are each answered, in order', async () => {
    const url = await start();
    const closing = { ...signed('[3]'), connection: 'close' };
    const bytes = requestOf('{"id":1}') + requestOf('{') + requestOf('[3]', closing);
    const answer = await (await raw(url, bytes)).received;
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => match[1]);
    expect(statuses).toEqual(['202', '400', '202']);
  });

  it('garbage behind a good one never is its answer', async () => {
    const url = await start();
    const { promise, resolve } = Promise.withResolvers<void>();
    publisher.gate = promise;
    const { received } = await raw(url, `${requestOf('{"id":1}')}\0garbage\r\n\r\n`);
    await vi.waitFor(() => expect(publisher.calls).toBe(1), 30_000);
    resolve();
    // Either the event's own 202 came first, or no answer at all: its sender retries.
    expect(await received).not.toMatch(/HTTP\/1\.1 4/);
    publisher.gate = Promise.resolve();
    await expectWell(url);
  });

  it('a body that is cut off, or chunks that are none, store nothing', async () => {
    const url = await start();
    const headers = { ...signed('{"id":1}'), 'transfer-encoding': 'chunked' };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `POST /webhooks/ingest/shop HTTP/1.1\r\nhost: h\r\n${lines.join('')}\r\n`;
    const answer = await (await raw(url, `${head}8\r\n{"id":1}\r\nzz\r\n`)).received;
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    const { socket } = await raw(url, requestOf('{"id":1}').slice(0, -1));
    await delay(20);
    socket.destroy();
    await expectWell(url);
    expect(publisher.published).toHaveLength(1);
  });

  it('random bytes never end the process, are never stored, and are 4xx if anything', async () => {
    const url = await start();
    const good = requestOf('{"id":1}', { 'x-reachflow-signature': 't=1,v1=0' });
    const mutated = fc
      .tuple(fc.nat(good.length - 1), fc.uint8Array({ minLength: 1, maxLength: 8 }))
      .map(([at, bytes]) =>
        Buffer.concat([Buffer.from(good.slice(0, at)), bytes, Buffer.from(good.slice(at))]),
      );
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 200 }).map((each) => Buffer.from(each)),
          mutated,
        ),
        async (bytes) => {
          const { socket, received } = await raw(url, bytes);
          socket.end();
          const statuses = [...(await received).matchAll(/HTTP\/1\.1 (\d)/g)].map(
            (match) => match[1],
          );
          expect(statuses.every((status) => status === '4')).toBe(true);
          expect(publisher.published).toEqual([]);
        },
      ),
      { numRuns: 500 },
    );
    await expectWell(url);
  });
});

describe('bodies', () => {
  const deep = (open: string, close: string) => open.repeat(100_000) + close.repeat(100_000);

  it.each([
    ['arrays 100,000 deep', deep('[', ']'), 400],
    ['objects 100,000 deep', deep('{"a":', '}'), 400],
    ['an unclosed nest', '['.repeat(1_000_000), 400],
    ['a string that does not end', `"${'\\'.repeat(1_000_001)}`, 400],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 400],
    ['a byte order mark', '\ufeff{}', 400],
    ['a million empty arrays', `[${'[],'.repeat(999_999)}[]]`, 413],
    ['half a surrogate pair', '{"id":"\\ud800"}', 202],
    [
      'prototype keys',
      '{"__proto__":{"id":1},"constructor":{"prototype":{"x":1}},"toString":1}',
      202,
    ],
    ['keys twice', '{"id":1,"id":2}', 202],
    [
      'numbers beyond all bounds',
      '{"id":1e999,"n":-1e-999,"m":123456789012345678901234567890}',
      202,
    ],
    ['a number of a million digits', `{"n":${'9'.repeat(1_000_000)}}`, 202],
    ['a key of a megabyte', `{"${'k'.repeat(1_000_000)}":1}`, 202],
  ])('%s: answered at once, and stored unaltered or not at all', async (_what, body, status) => {
    const url = await start();
    expect((await send(url, body)).status).toBe(status);
    const payloads = publisher.published.map(({ value }) => value.payload);
    expect(payloads).toEqual(status === 202 ? [String(body)] : []);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
    await expectWell(url);
  });

  it('a key twice is read as the last, a number beyond 2^53 as none', async () => {
    const url = await start();
    await send(url, '{"id":1,"id":2}');
    await send(url, '{"id":12345678901234567890}');
    await send(url, '{"id":1e999}');
    expect(publisher.published.map(({ key }) => key)).toEqual(['acme:2', 'acme:e', 'acme:e']);
  });
});
