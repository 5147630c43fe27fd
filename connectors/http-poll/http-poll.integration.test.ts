import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { createKafkaClient } from '../../runtime/kafka/client.ts';
import { kafkaConfigSchema } from '../../runtime/kafka/config.ts';
import { topics } from '../../schemas/topics.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { decodedTopic, eventually, kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { ReachflowProcess } from '../../tests/support/reachflow-process.ts';
import { describeConnectorConformance } from '../conformance.ts';
import type { Connector } from '../connector.ts';
import { httpPollConfigSchema } from './config.ts';
import { createHttpPollConnector } from './http-poll-connector.ts';
import { type SourceServer, startSourceServer } from './testing/source-server.ts';

const TOPIC = 'webhook.received';
const { client, codec } = kafkaFixture({ sessionTimeoutMs: 6_000 });
let server: SourceServer;
const running: Connector[] = [];

beforeAll(() => ensureTopics(client, [{ ...topics[TOPIC], name: TOPIC, partitions: 3 }]));
beforeEach(async () => {
  server = await startSourceServer();
});
afterEach(async () => {
  for (const connector of running.splice(0)) await connector.stop();
  await server.close();
});

const PACE = { requestsPerMinute: 60_000, recordsPerMinute: 1_000_000 };
const LOCAL = { allowPrivateNetwork: true, tenant: 'acme', intervalMs: 100, maxBackoffMs: 200 };

function make(sources: Readonly<Record<string, Record<string, unknown>>>): Connector {
  const whole = Object.entries(sources).map(([name, of]) => [name, { ...LOCAL, ...PACE, ...of }]);
  const config = httpPollConfigSchema.parse({ sources: Object.fromEntries(whole) });
  const connector = createHttpPollConnector(config, { client, codec, logger: testLogger });
  running.push(connector);
  return connector;
}

/** Ids that the topic has of a source, in no order, repeats included. */
async function stored(source: string): Promise<string[]> {
  const events = await decodedTopic(client, codec, TOPIC);
  return events.filter((event) => event.source === source).map((event) => event.delivery_id);
}

async function has(source: string, count: number): Promise<void> {
  await eventually(`${source} has ${count}`, async () => (await stored(source)).length >= count);
}

async function expectExactly(source: string, ids: readonly string[]): Promise<void> {
  expect((await stored(source)).toSorted()).toEqual(ids.toSorted());
}

describe('conformance', () => {
  let feed: SourceServer;
  beforeAll(async () => {
    feed = await startSourceServer();
  });
  afterAll(() => feed.close());

  describeConnectorConformance(
    'http-poll',
    () => {
      const paging = { kind: 'offset', size: 10 };
      const source = { ...LOCAL, ...PACE, url: `${feed.url}/offset`, paging };
      const config = httpPollConfigSchema.parse({ sources: { conforming: source } });
      return createHttpPollConnector(config, { client, codec, logger: testLogger });
    },
    60_000,
    () => ({
      // An item counts as accepted once it is stored: a source keeps what was not taken.
      offer: async (ids) => {
        for (const id of ids) feed.items.push({ id, text: id });
        if (ids[0]?.startsWith('stopping') === true) return [];
        const all = feed.items.length;
        await has('conforming', all);
        return ids;
      },
      stored: () => stored('conforming'),
    }),
  );
});

describe('pulls over a real broker', { timeout: 60_000 }, () => {
  const pagings = [
    ['cursor', { itemsPointer: '/data', paging: { kind: 'cursor', pointer: '/next' } }],
    ['link', { paging: { kind: 'link' } }],
    ['page', { paging: { kind: 'page', size: 10 } }],
    ['offset', { paging: { kind: 'offset', size: 7, sizeParameter: 'limit' } }],
    ['csv', { format: 'csv', paging: { kind: 'page', size: 10 } }],
    ['all', {}],
  ] as const;

  it('takes each record once by any paging, and what is added later, several sources at a time', async () => {
    const sources = pagings.map(([name, of]) => [name, { url: `${server.url}/${name}`, ...of }]);
    server.add(34);
    await make(Object.fromEntries(sources)).start();
    for (const [name] of pagings) await has(name, 34);
    server.add(13);
    for (const [name] of pagings) await has(name, 47);
    const ids = server.items.map(({ id }) => id);
    for (const [name] of pagings) await expectExactly(name, ids);
    await eventually('what has not changed is not sent again', () => server.notModified > 2);
  });

  it('waits while the source fails, says so, and goes on where it was', async () => {
    server.add(25);
    server.faults.push(
      { status: 500 },
      'cut',
      { status: 429, headers: { 'retry-after': '1' } },
      { status: 200, body: '[{"id":' },
      { status: 200, body: '{"no":"list"}' },
      'hang',
      { status: 302, headers: { location: 'http://elsewhere.example/' } },
      { status: 200, body: `[${'1,'.repeat(40_000)}1]` },
    );
    const paging = { kind: 'page', size: 10 };
    const connector = make({
      failing: { url: `${server.url}/page`, paging, timeoutMs: 500, maxResponseBytes: 65_536 },
    });
    await connector.start();
    const troubles = new Set<string>();
    await eventually('all have come', async () => {
      const { state, detail } = await connector.status();
      if (state === 'degraded') troubles.add(detail.split('failing: ').at(-1) ?? '');
      return (await stored('failing')).length >= 25;
    });
    await eventually('it is well', async () => (await connector.status()).state === 'running');
    expect([...troubles].join('\n')).toMatch(/answers 429/);
    await expectExactly(
      'failing',
      server.items.map(({ id }) => id),
    );
  });

  it('is not led to where nobody meant', async () => {
    const guarded = { url: `${server.url}/page`, allowPrivateNetwork: false };
    const connector = make({ guarded });
    await connector.start();
    await eventually('it is refused', async () =>
      (await connector.status()).detail.includes('address of a private network'),
    );
    expect(server.requests).toEqual([]);
  });

  it('keeps to its requests a minute', async () => {
    server.add(100);
    const paging = { kind: 'page', size: 10 };
    const connector = make({ paced: { url: `${server.url}/page`, paging, requestsPerMinute: 3 } });
    await connector.start();
    await has('paced', 30);
    await connector.stop();
    expect(server.requests).toHaveLength(3);
  });

  it('misses and repeats nothing when it is killed, nor when two pull', {
    timeout: 90_000,
  }, async () => {
    const stack = testStack();
    const namespace = `t${randomBytes(4).toString('hex')}`;
    const paging = { kind: 'page', size: 10 };
    const source = { ...LOCAL, ...PACE, url: `${server.url}/page`, paging };
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const env = {
      REACHFLOW_KAFKA_BROKERS: stack.kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: namespace,
      REACHFLOW_KAFKA_PARTITIONS: '2',
      REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
      REACHFLOW_REGISTRY_URL: stack.registry.url,
      REACHFLOW_STACK_ENGINE: 'external',
      REACHFLOW_OBSERVABILITY_PORT: '0',
      REACHFLOW_HTTP_POLL_SOURCES: JSON.stringify(
        Object.fromEntries(names.map((name) => [name, source])),
      ),
    };
    const kafka = kafkaConfigSchema.parse({ brokers: stack.kafka.brokers, namespace });
    const reader = createKafkaClient(kafka, testLogger);
    const own = kafkaFixture({ namespace });
    const ids = async () => {
      const events = await decodedTopic(reader, own.codec, TOPIC).catch(() => []);
      return events.map((event) => event.event_id);
    };
    server.pauseMs = 100;
    server.add(300);
    const expected = names.flatMap((name) => server.items.map(({ id }) => `${name}:${id}`));
    const processes = [1, 2].map(() => new ReachflowProcess(env, ['--only', 'http-poll']));
    try {
      for (const each of processes) await each.ready();
      await eventually('it goes on', async () => (await ids()).length > 100);
      await processes[0]?.end('SIGKILL');
      await eventually('all have come', async () => (await ids()).length >= expected.length);
      expect((await ids()).toSorted()).toEqual(expected.toSorted());
    } finally {
      for (const each of processes) await each.end('SIGKILL');
    }
  });
});
