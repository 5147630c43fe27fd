import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import { topics } from '../../schemas/topics.ts';
import { decodedTopic, eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { describeConnectorConformance } from '../conformance.ts';
import { type SocketConfig, socketConfigSchema } from './config.ts';
import { createSocketConnector, type SocketConnector } from './socket-connector.ts';

const TOPIC = 'webhook.received';
const TOKEN = 'sender-token-0123456789abcdef';
const { client, codec } = kafkaFixture();
let publisher: OwnedPublisher;
const running: SocketConnector[] = [];

beforeAll(async () => {
  await ensureTopics(client, [{ ...topics[TOPIC], name: TOPIC, partitions: 2 }]);
  publisher = await createPublisher(client, codec);
});
afterEach(async () => {
  for (const connector of running.splice(0)) await connector.stop();
});
afterAll(() => publisher.close());

function make(fields: Partial<SocketConfig> = {}, to: Publisher = publisher): SocketConnector {
  const config = socketConfigSchema.parse({
    port: 0,
    sources: { app: { tokens: [TOKEN], tenant: 'acme' } },
    ...fields,
  });
  return createSocketConnector(config, { publisher: to, logger: testLogger });
}

async function start(fields: Partial<SocketConfig> = {}, to?: Publisher): Promise<string> {
  const connector = make(fields, to);
  running.push(connector);
  await connector.start();
  return connector.url() ?? '';
}

interface Answer {
  readonly id: string | null;
  readonly ok: boolean;
  readonly problem?: { readonly code: string; readonly status: number };
}

function open(url: string, token = TOKEN, source = 'app') {
  const socket = new WebSocket(`${url}/ingest/${source}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const answers: Answer[] = [];
  socket.on('message', (data) => void answers.push(JSON.parse(String(data)) as Answer));
  const closed = new Promise<number>((resolve) => {
    socket.once('close', resolve).on('error', () => undefined);
  });
  return { socket, answers, closed };
}

async function stored() {
  return await decodedTopic(client, codec, TOPIC);
}

describe('conformance', () => {
  let connector: SocketConnector;
  describeConnectorConformance(
    'socket',
    () => {
      connector = make();
      return connector;
    },
    30_000,
    () => ({
      offer: async (ids) => {
        const { socket, answers, closed } = open(connector.url() ?? 'ws://127.0.0.1:1');
        socket.once('open', () => {
          for (const id of ids) socket.send(JSON.stringify({ id, type: 'conforming' }));
        });
        const all = eventually('all are answered', () => answers.length >= ids.length, 20_000);
        await Promise.race([all.catch(() => undefined), closed]);
        socket.terminate();
        return answers.flatMap(({ id, ok }) => (ok && id !== null ? [id] : []));
      },
      stored: async () => {
        const events = await stored();
        return events.flatMap((event) =>
          event.event_type === 'conforming' ? [event.delivery_id] : [],
        );
      },
    }),
  );
});

describe('WebSockets on a real broker', { timeout: 60_000 }, () => {
  it('answers each message once it is stored, and says what is wrong with others', async () => {
    const { socket, answers } = open(await start());
    await once(socket, 'open');
    const good = '{"id": "m-1", "type": "order.paid", "entity_id": "o-7", "n": 1.0}';
    for (const text of ['{', '[]', '{"id":""}', `{"id":"deep","x":${'['.repeat(50_000)}`, good])
      socket.send(text);
    await eventually('all are answered', () => answers.length === 5);
    expect(answers.slice(0, 4).map(({ id, problem }) => [id, problem?.code])).toEqual([
      [null, 'JSON_INVALID'],
      [null, 'ID_MISSING'],
      [null, 'ID_MISSING'],
      [null, 'JSON_INVALID'],
    ]);
    expect(answers[4]).toEqual({ id: 'm-1', ok: true });
    const event = (await stored()).find(({ delivery_id: id }) => id === 'm-1');
    expect(event).toMatchObject({
      event_id: 'app:m-1',
      tenant_id: 'acme',
      source: 'app',
      event_type: 'order.paid',
      entity_id: 'o-7',
      payload: good,
    });
    socket.send(Buffer.from('{}'), { binary: true });
    const [code] = (await once(socket, 'close')) as [number];
    expect(code).toBe(1003);
  });

  it('reads no more than it may hold, and answers all of it in the end', async () => {
    const gate = Promise.withResolvers<void>();
    let calls = 0;
    const held: Publisher = {
      publish: async (...of) => {
        calls += 1;
        await gate.promise;
        await publisher.publish(...of);
      },
    };
    const url = await start({ maxInFlight: 10, maxInFlightTotal: 15 }, held);
    const senders = [open(url), open(url)];
    for (const { socket } of senders) await once(socket, 'open');
    const padding = 'x'.repeat(100_000);
    for (const [s, { socket }] of senders.entries())
      for (let i = 0; i < 40; i += 1)
        socket.send(JSON.stringify({ id: `held-${s}-${i}`, type: 'held', padding }));
    await eventually('it has read some', () => calls >= 10);
    await delay(300);
    // What one read from the socket had in it comes on top.
    expect(calls).toBeLessThan(30);
    gate.resolve();
    await eventually('all are answered', () =>
      senders.every(({ answers }) => answers.filter(({ ok }) => ok).length === 40),
    );
    for (const { socket } of senders) socket.terminate();
    const ids = (await stored()).filter(({ event_type: type }) => type === 'held');
    expect(new Set(ids.map(({ delivery_id: id }) => id)).size).toBe(80);
  });

  it('says when to send again what cannot be stored now', async () => {
    const broken = kafkaFixture();
    const away = await createPublisher(broken.client, broken.codec);
    try {
      const { socket, answers } = open(await start({}, away));
      await once(socket, 'open');
      socket.send('{"id":1}');
      await eventually('it is answered', () => answers.length === 1);
      expect(answers[0]).toMatchObject({ id: '1', ok: false, problem: { status: 503 } });
      expect(await running[0]?.status()).toMatchObject({ state: 'degraded' });
      socket.terminate();
    } finally {
      await away.close();
    }
  });

  it('refuses at the upgrade who has no token of the source, and ends who is dead', async () => {
    const url = await start({ pingIntervalMs: 100 });
    for (const [token, source] of [
      ['wrong-token-0123456789abcdef', 'app'],
      [TOKEN, 'else'],
    ]) {
      const { socket } = open(url, token, source);
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error.message).toContain('401');
    }
    const plain = await fetch(`${url.replace('ws', 'http')}/ingest/app`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(plain.status).toBe(426);
    const dead = new WebSocket(`${url}/ingest/app`, {
      headers: { authorization: `Bearer ${TOKEN}` },
      autoPong: false,
    });
    const [code] = (await once(dead, 'close')) as [number];
    expect(code).toBe(1006);
  });
});
