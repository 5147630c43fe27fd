import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ensureTopics } from '../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../runtime/kafka/batching-publisher.ts';
import { EpochProducer } from '../runtime/kafka/epoch-producer.ts';
import { topics } from '../schemas/topics.ts';
import { eventually, kafkaFixture, testLogger } from '../tests/support/kafka.ts';
import { type SubscriptionsConfig, subscriptionsConfigSchema } from './config.ts';
import { createSubscriptions, type Subscriptions } from './subscriptions.ts';
import {
  type Client,
  pollOnce,
  type Received,
  sseClient,
  webSocketClient,
} from './testing/clients.ts';

const TOPIC = 'webhook.received';
const ACME = 'acme-token-0123456789abcdef';
const OTHER = 'other-token-0123456789abcdef';
const ALL = 'operator-token-0123456789abcdef';
const { client, codec } = kafkaFixture({ fetchMaxWaitMs: 20 });
const closing: (() => unknown)[] = [];
let publisher: OwnedPublisher;
let published = 0;

beforeAll(async () => {
  await ensureTopics(client, [{ ...topics[TOPIC], name: TOPIC, partitions: 3 }]);
  publisher = await createPublisher(client, codec);
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => publisher.close());

async function start(fields: Partial<SubscriptionsConfig> = {}): Promise<[string, Subscriptions]> {
  const config = subscriptionsConfigSchema.parse({
    port: 0,
    heartbeatMs: 200,
    subscribers: {
      acme: { tokens: [ACME], tenants: ['acme'], topics: [TOPIC], maxConnections: 8 },
      other: { tokens: [OTHER], tenants: ['other'], topics: [TOPIC] },
      operator: { tokens: [ALL], tenants: '*', topics: [TOPIC] },
    },
    ...fields,
  });
  const service = createSubscriptions(config, { client, codec, logger: testLogger });
  closing.push(() => service.stop());
  await service.start();
  return [service.url() ?? '', service];
}

function opened<C extends Client>(subscriber: C): C {
  closing.push(() => subscriber.close());
  return subscriber;
}

function value(tenant: string, id: string, payload = '{}') {
  return {
    event_id: `s:${id}`,
    tenant_id: tenant,
    source: 's',
    event_type: 'e',
    delivery_id: id,
    entity_id: id,
    occurred_at: null,
    received_at: Date.now(),
    payload,
  };
}

/** Publishes so many events of each tenant; ids go on through all tests. */
async function publish(count: number, tenants = ['acme', 'other'], payload = '{}'): Promise<void> {
  const all = Array.from({ length: count }, () => {
    published += 1;
    return String(published);
  });
  await Promise.all(
    all.flatMap((n) =>
      tenants.map((tenant) => {
        const id = `${tenant}-${n}`;
        return publisher.publish(TOPIC, { key: id, value: value(tenant, id, payload) });
      }),
    ),
  );
}

const ids = (events: readonly Received[]) => events.map(({ value: { delivery_id: id } }) => id);
const range = (from: number, to: number, tenant = 'acme') =>
  Array.from({ length: to - from }, (_, i) => `${tenant}-${from + i + 1}`);

function expectAll(events: readonly Received[], expected: readonly string[]): void {
  expect(ids(events).toSorted()).toEqual(expected.toSorted());
  for (const own of Map.groupBy(events, ({ partition }) => partition).values()) {
    const offsets = own.map(({ offset }) => offset);
    expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
  }
}

describe('subscriptions on a real broker', { timeout: 60_000 }, () => {
  it('sends the same events by any transport, and to each tenant its own', async () => {
    const [url] = await start();
    const from = published;
    const sse = opened(await sseClient(url, TOPIC, ACME));
    const ws = opened(await webSocketClient(url, TOPIC, ACME));
    const other = opened(await webSocketClient(url, TOPIC, OTHER));
    const all = opened(await webSocketClient(url, TOPIC, ALL));
    const { cursor } = await pollOnce(url, TOPIC, ACME, { wait_ms: '0' });
    await publish(40);
    await eventually('all have come', () => all.events.length >= 80);
    await eventually('to all', () => sse.events.length >= 40 && other.events.length >= 40);
    const polled = await pollOnce(url, TOPIC, ACME, { cursor });
    expectAll(sse.events, range(from, from + 40));
    expect(ws.events).toEqual(sse.events);
    expect(polled.events).toEqual(sse.events);
    expectAll(other.events, range(from, from + 40, 'other'));
    expectAll(all.events, [...ids(sse.events), ...ids(other.events)]);
  });

  it('goes on behind any cursor, from memory or from the log, here or at another instance', async () => {
    const [url] = await start();
    const from = published;
    const live = opened(await webSocketClient(url, TOPIC, ACME));
    await publish(30);
    await eventually('all have come', () => live.events.length >= 30);
    // With next to nothing in memory everything is read from the log.
    const [another] = await start({ recentBytes: 65_536, recentRecords: 0 });
    for (const at of [0, 7, 18, 29]) {
      const cursor = live.events[at]?.cursor ?? '';
      const expected = ids(live.events)
        .slice(at + 1)
        .toSorted();
      for (const base of [url, another]) {
        const resumed = opened(await sseClient(base, TOPIC, ACME, { cursor }));
        await eventually('the rest has come', () => resumed.events.length >= expected.length);
        expect(ids(resumed.events).toSorted()).toEqual(expected);
        resumed.close();
      }
    }
    expectAll(live.events, range(from, from + 30));
  });

  it('polls on from cursor to cursor while records come, and misses and repeats none', async () => {
    const [url] = await start({ recentBytes: 65_536, recentRecords: 0 });
    const polled: Received[] = [];
    const coming = (async () => {
      for (let i = 0; i < 10; i += 1) await publish(30, ['acme', 'other'], `"${'x'.repeat(500)}"`);
    })();
    let where: { cursor: string } | { start: 'earliest' } = { start: 'earliest' };
    let isPublished = false;
    void coming.then(() => {
      isPublished = true;
    });
    for (;;) {
      const last = isPublished;
      const answer = await pollOnce(url, TOPIC, ACME, { ...where, max: '17', wait_ms: '500' });
      polled.push(...answer.events);
      where = { cursor: answer.cursor };
      if (last && answer.events.length === 0) break;
    }
    await coming;
    expectAll(polled, range(0, published));
  });

  it('is gone on with by a browser that reconnects, and misses and repeats nothing', async () => {
    const [url, service] = await start();
    const sse = opened(await sseClient(url, TOPIC, ACME));
    const from = published;
    await publish(10);
    await eventually('some have come', () => sse.events.length === 10);
    await service.stop();
    await eventually('it is told', () => sse.end?.problem.code === 'SHUTTING_DOWN');
    await publish(10);
    await start({ port: Number(new URL(url).port) });
    await publish(10);
    await eventually('all have come', () => sse.events.length >= 30);
    expectAll(sse.events, range(from, from + 30));
  });

  it('sends what is committed only', async () => {
    const [url] = await start();
    const ws = opened(await webSocketClient(url, TOPIC, ACME));
    await codec.register([TOPIC]);
    const write = async (id: string) => {
      const producer = await EpochProducer.open(client, `test-${id}`);
      const batches = producer.begin();
      batches.append(TOPIC, 0, id, codec.encode(TOPIC, value('acme', id)), Date.now());
      return { producer, batches };
    };
    const aborted = await write('aborted');
    await aborted.producer.flush(aborted.batches);
    await aborted.producer.close();
    const committed = await write('committed');
    await committed.producer.commit(committed.batches, []);
    await committed.producer.close();
    await eventually('the committed one has come', () => ws.events.length > 0);
    expect(ids(ws.events)).toEqual(['committed']);
  });

  it('disconnects who does not read, and says where to go on', async () => {
    const [url] = await start({ clientBufferBytes: 65_536, closeTimeoutMs: 60_000 });
    const from = published;
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    closing.push(() => socket.destroy());
    await once(socket, 'connect');
    socket.write(
      `GET /subscriptions/${TOPIC} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nauthorization: Bearer ${ACME}\r\n\r\n`,
    );
    await once(socket, 'readable');
    const ws = opened(await webSocketClient(url, TOPIC, ACME));
    ws.socket.pause();
    // The system's own buffers come first.
    for (let i = 0; i < 12; i += 1) await publish(10, ['acme'], `"${'x'.repeat(100_000)}"`);
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    await once(socket, 'close');
    const end = /event: end\r?\ndata: (.*)/.exec(text)?.[1] ?? '{}';
    expect(JSON.parse(end)).toMatchObject({ type: 'end', problem: { code: 'SLOW_CONSUMER' } });
    const { cursor } = JSON.parse(end) as { cursor: string };
    const got = text.split('"delivery_id"').length - 1;
    const rest = opened(await webSocketClient(url, TOPIC, ACME, { cursor }));
    await eventually('the rest has come', () => got + rest.events.length >= 120);
    expect(got + rest.events.length).toBe(120);
    ws.socket.resume();
    await eventually('it is told', () => ws.end !== undefined);
    expect(ws.end?.problem.code).toBe('SLOW_CONSUMER');
    expect([...range(from, from + 120)]).toEqual(expect.arrayContaining(ids(rest.events)));
  });

  it('tells of its position where nothing comes, and of its end', async () => {
    const [url, service] = await start();
    const ws = opened(await webSocketClient(url, TOPIC, ACME));
    await eventually('it has a position', () => ws.cursor !== undefined);
    const before = ws.cursor;
    await publish(3, ['other']);
    await eventually('its position moves with records of others', () => ws.cursor !== before);
    expect(ws.events).toEqual([]);
    const { cursor } = ws;
    expect((await service.status()).detail).toContain('1 subscribers');
    await service.stop();
    await eventually('it has heard of the end', () => ws.end !== undefined);
    expect(ws.end).toMatchObject({ problem: { code: 'SHUTTING_DOWN', status: 503 } });
    expect(ws.end?.cursor).toBe(cursor);
    await delay(0);
    expect((await service.status()).state).toBe('stopped');
  });

  it('refuses what it must', async () => {
    const [url] = await start();
    const get = async (path: string, token?: string) => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const answer = await fetch(`${url}${path}`, { headers });
      const { code } = (await answer.json()) as { code?: string };
      return [answer.status, code];
    };
    const at = `/subscriptions/${TOPIC}`;
    expect(await get(at)).toEqual([401, 'TOKEN_INVALID']);
    expect(await get(at, `${ACME}x`)).toEqual([401, 'TOKEN_INVALID']);
    expect(await get(`${at}?access_token=${ACME}`)).toEqual([401, 'TOKEN_INVALID']);
    expect(await get('/subscriptions/contact.golden', ACME)).toEqual([403, 'TOPIC_FORBIDDEN']);
    expect(await get('/subscriptions/nothing', ACME)).toEqual([403, 'TOPIC_FORBIDDEN']);
    expect(await get(`${at}?start=now`, ACME)).toEqual([400, 'QUERY_INVALID']);
    expect(await get(`${at}?cursor=abc`, ACME)).toEqual([400, 'CURSOR_INVALID']);
    expect(await get('/else', ACME)).toEqual([404, 'ROUTE_UNKNOWN']);
    await expect(webSocketClient(url, TOPIC, 'wrong-token-0123456789abcdef')).rejects.toThrow(
      '401',
    );
    const eight = Array.from({ length: 8 }, () => webSocketClient(url, TOPIC, ACME));
    for (const ws of await Promise.all(eight)) opened(ws);
    expect(await get(at, ACME)).toEqual([429, 'TOO_MANY_CONNECTIONS']);
  });
});
