import { randomUUID } from 'node:crypto';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { Client } from '@elastic/elasticsearch';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Sink } from '../../runtime/delivery/sink.ts';
import { clickhouseConfigSchema } from '../../sinks/clickhouse/config.ts';
import { createClickhouseSink } from '../../sinks/clickhouse/sink.ts';
import { clickhouseTables } from '../../sinks/clickhouse/tables.ts';
import { elasticsearchConfigSchema } from '../../sinks/elasticsearch/config.ts';
import { removePrefix, uniquePrefix } from '../../sinks/elasticsearch/fixtures.ts';
import { createElasticsearchSink } from '../../sinks/elasticsearch/sink.ts';
import { tableModel } from '../../sinks/fields.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { type InProcess, inProcess } from '../../tests/support/in-process.ts';
import { eventually } from '../../tests/support/kafka.ts';
import { identityPipeline } from './topology.ts';

const TIMEOUT = 180_000;
const TOPIC = 'contact.unified';
const NOW = Date.now();
const name = `unified_test_${randomUUID().slice(0, 8)}`;
const indexPrefix = uniquePrefix();

let product: InProcess;
let postgres: pg.Client;
let clickhouse: ClickHouseClient;
let elasticsearch: Client;

function createSinks(): readonly Sink[] {
  const stack = testStack();
  const deps = { logger: pino({ level: 'silent' }) };
  const models = [tableModel(TOPIC)];
  const tables = new Map(
    [...clickhouseTables({ parts: ['identity'] })].filter(([topic]) => topic === TOPIC),
  );
  const sections = {
    postgres: { url: stack.postgres.url, schema: name },
    clickhouse: { ...stack.clickhouse, database: name, flushMs: 100 },
    elasticsearch: { ...stack.elasticsearch, indexPrefix, refresh: 'true' },
  };
  return [
    createPostgresSink(postgresConfigSchema.parse(sections.postgres), deps, models),
    createClickhouseSink(clickhouseConfigSchema.parse(sections.clickhouse), deps, tables),
    createElasticsearchSink(elasticsearchConfigSchema.parse(sections.elasticsearch), deps, models),
  ];
}

beforeAll(async () => {
  const stack = testStack();
  // Tables are made before the engine's sinks open, which they do in its background.
  for (const sink of createSinks()) {
    await sink.open();
    await sink.close();
  }
  postgres = new pg.Client({ connectionString: stack.postgres.url });
  await postgres.connect();
  clickhouse = createClient(stack.clickhouse);
  elasticsearch = new Client({ node: stack.elasticsearch.url });
  product = await inProcess(identityPipeline, { partitions: 2, sinks: createSinks() });
  await product.engine.prepare();
  await product.engine.start();
}, TIMEOUT);

afterAll(async () => {
  await product?.close();
  await postgres.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`);
  await postgres.end();
  await clickhouse.command({ query: `DROP DATABASE IF EXISTS ${name}` });
  await clickhouse.close();
  await removePrefix(elasticsearch, indexPrefix);
  await elasticsearch.close();
}, TIMEOUT);

/** What a store's readers see: members by contact, sorted. */
type Seen = readonly string[];

const shown = (rows: readonly { id: string; members: readonly string[] }[]): Seen =>
  rows.map(({ id, members }) => `${id}: ${members.join()}`).sort();

const stores: Readonly<Record<string, () => Promise<Seen>>> = {
  postgres: async () =>
    shown((await postgres.query(`SELECT id, members FROM ${name}.unified_contacts`)).rows),
  clickhouse: async () => {
    const query = `SELECT id, members FROM ${name}.unified_contacts FINAL`;
    return shown(await (await clickhouse.query({ query, format: 'JSONEachRow' })).json());
  },
  elasticsearch: async () => {
    const index = `${indexPrefix}unified_contacts`;
    const { hits } = await elasticsearch.search<{ id: string; members: string[] }>({
      ...{ index, size: 100 },
    });
    return shown(hits.hits.flatMap(({ _source }) => _source ?? []));
  },
};

/** Waits until all stores show contacts of these members, and the same ones. */
async function allShow(members: readonly string[]): Promise<Seen> {
  let first: Seen = [];
  for (const [store, read] of Object.entries(stores)) {
    await eventually(`${members.join(' and ')} in ${store}`, async () => {
      const seen = await read();
      first = first.length === 0 ? seen : first;
      const mine = seen.map((row) => row.slice(row.indexOf(': ') + 2)).sort();
      return JSON.stringify(mine) === JSON.stringify([...members].sort());
    });
  }
  const seen = await Promise.all(Object.values(stores).map((read) => read()));
  expect(new Set(seen.map((rows) => JSON.stringify(rows))).size).toBe(1);
  return seen[0] ?? [];
}

let versions = 0;

async function say(id: string, type: string, contact: Readonly<Record<string, string>>) {
  versions += 1;
  await product.publisher.publish('webhook.received', {
    key: `acme:${id}`,
    value: {
      ...{ event_id: `form:${versions}`, tenant_id: 'acme', source: 'form', event_type: type },
      ...{ delivery_id: String(versions), entity_id: id, received_at: NOW },
      occurred_at: NOW - 60_000 + versions,
      payload: JSON.stringify(contact),
    },
  });
}

it('contacts that are merged or deleted disappear from Postgres, ClickHouse and Elasticsearch', {
  timeout: TIMEOUT,
}, async () => {
  const ada = { first_name: 'Ada', last_name: 'Lovelace', email: 'ada@example.com' };
  await say('1', 'contact.created', ada);
  // The contact has its id from the record that was there first.
  const [first = ''] = await allShow(['webhook:form/1']);
  await say('2', 'contact.created', { ...ada, email: 'countess@example.com' });
  await say('3', 'contact.created', { first_name: 'Grace', last_name: 'Hopper', email: 'g@x.io' });
  const apart = await allShow(['webhook:form/1', 'webhook:form/2', 'webhook:form/3']);
  expect(apart).toContain(first);

  await say('2', 'contact.updated', ada);
  const merged = await allShow(['webhook:form/1,webhook:form/2', 'webhook:form/3']);
  expect(merged).toContain(`${first},webhook:form/2`);

  await say('3', 'contact.deleted', {});
  await allShow(['webhook:form/1,webhook:form/2']);

  // Apart again, under the ids that they had.
  await say('2', 'contact.updated', { ...ada, email: 'countess@example.com' });
  const again = await allShow(['webhook:form/1', 'webhook:form/2']);
  expect(apart).toEqual(expect.arrayContaining([...again]));
  expect(product.fatal).toEqual([]);
});
