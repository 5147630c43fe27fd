import { createHash, randomUUID } from 'node:crypto';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import type { Contact } from '../../schemas/types.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { startProxyTo, throughProxy } from '../../tests/support/tcp-proxy.ts';
import { describeSinkConformance, type SinkHarness } from '../conformance.ts';
import { batchOf, contactRecord } from '../fixtures.ts';
import { clickhouseConfigSchema } from './config.ts';
import { createClickhouseSink } from './sink.ts';

const deps = { logger: pino({ level: 'silent' }) };

function uniqueDatabase(): string {
  return `sink_test_${randomUUID().slice(0, 8)}`;
}

function readerOf(): ClickHouseClient {
  const { url, username, password } = testStack().clickhouse;
  return createClient({ url, username, password });
}

function configOf(database: string, fields: Readonly<Record<string, unknown>> = {}) {
  const { url, username, password } = testStack().clickhouse;
  return clickhouseConfigSchema.parse({ url, username, password, database, ...fields });
}

async function rows<T>(
  reader: ClickHouseClient,
  query: string,
  query_params: Record<string, unknown> = {},
): Promise<T[]> {
  const result = await reader.query({ query, query_params, format: 'JSONEachRow' });
  return result.json<T>();
}

interface StoredContact extends Omit<Contact, 'created_at' | 'updated_at' | 'version'> {
  readonly created_at: string;
  readonly updated_at: string;
  readonly version: string;
}

const CONTACT_FIELDS =
  'id, tenant_id, full_name, email, phone, company_id, company, company_domain, industry, tags, score, ' +
  'toUnixTimestamp64Milli(created_at) AS created_at, toUnixTimestamp64Milli(updated_at) AS updated_at, version';

async function startHarness(): Promise<SinkHarness> {
  const { url } = testStack().clickhouse;
  const database = uniqueDatabase();
  const proxy = await startProxyTo(url, 8123);
  const reader = readerOf();
  const config = configOf(database, { url: throughProxy(url, proxy), requestTimeoutMs: 2_000 });
  const create = () => createClickhouseSink(config, deps);
  // The server itself has to refuse something: what the sink checks beforehand never reaches it.
  const first = create();
  await first.open();
  await first.close();
  await reader.command({
    query: `ALTER TABLE ${database}.contacts ADD CONSTRAINT no_poison CHECK full_name != 'poison'`,
  });
  return {
    create,
    async read(id) {
      // By a digest: an id may be longer than a parameter of the HTTP interface.
      const found = await rows<StoredContact>(
        reader,
        `SELECT ${CONTACT_FIELDS} FROM ${database}.contacts FINAL WHERE lower(hex(MD5(id))) = {digest:String}
         SETTINGS output_format_json_quote_64bit_integers = 1`,
        { digest: createHash('md5').update(id).digest('hex') },
      );
      const row = found[0];
      if (row === undefined) return null;
      return {
        ...row,
        created_at: Number(row.created_at),
        updated_at: Number(row.updated_at),
        version: BigInt(row.version),
      };
    },
    // FINAL leaves deleted contacts out: their versions are read beside it.
    dump: async () => ({
      live: await rows(reader, `SELECT * FROM ${database}.contacts FINAL ORDER BY id`),
      versions: await rows(
        reader,
        `SELECT id, toString(max(version)) AS newest, argMax(is_deleted, version) AS deleted
         FROM ${database}.contacts GROUP BY id ORDER BY id`,
      ),
    }),
    outage: proxy,
    poison: [
      {
        name: 'a row that a constraint forbids',
        fields: { full_name: 'poison' },
        code: 'CLICKHOUSE_REJECTED',
        names: /VIOLATED_CONSTRAINT/,
      },
      {
        name: 'a score beyond Float32',
        fields: { score: 1e300 },
        code: 'INVALID_RECORD',
        names: /score/,
      },
      {
        name: 'a date before DateTime64',
        fields: { created_at: Date.UTC(1899, 11, 31) },
        code: 'INVALID_RECORD',
        names: /created_at/,
      },
    ],
    async destroy() {
      await reader.command({ query: `DROP DATABASE IF EXISTS ${database}` });
      await reader.close();
      await proxy.close();
    },
  };
}

describeSinkConformance('clickhouse', startHarness);

describe('clickhouse sink', () => {
  const database = uniqueDatabase();
  let reader: ClickHouseClient;
  let sink: Sink;

  beforeAll(async () => {
    reader = readerOf();
    sink = createClickhouseSink(configOf(database), deps);
    await sink.open();
  });

  afterAll(async () => {
    await sink.close();
    await reader.command({ query: `DROP DATABASE IF EXISTS ${database}` });
    await reader.close();
  });

  async function count(table: string): Promise<number> {
    const [row] = await rows<{ n: string }>(
      reader,
      `SELECT toString(count()) AS n FROM ${database}.${table}`,
    );
    return Number(row?.n);
  }

  function event(offset: number, fields: Readonly<Record<string, unknown>> = {}): SinkRecord {
    const value = {
      event_id: `github:${offset}`,
      tenant_id: 'acme',
      source: 'webhook:github',
      event_type: 'push',
      entity_id: 'repo-1',
      occurred_at: Date.UTC(2026, 0, 1) + offset,
      received_at: Date.UTC(2026, 0, 1) + offset + 5,
      payload: '{"a":"\\u0000 \\"quoted\\""}',
      ...fields,
    };
    return {
      topic: 'event.recorded',
      partition: 3,
      offset: BigInt(offset),
      timestamp: 0,
      key: 'acme/repo-1',
      value,
      version: BigInt(offset),
    };
  }

  const statuses = async (batch: readonly SinkRecord[]) =>
    (await sink.write(batchOf(batch))).map((result) => result.status);

  it('writes events and reads them back', async () => {
    const record = event(1);
    expect(await statuses([record])).toEqual(['delivered']);
    const [row] = await rows(
      reader,
      `SELECT * REPLACE (toUnixTimestamp64Milli(occurred_at) AS occurred_at,
                         toUnixTimestamp64Milli(received_at) AS received_at)
       FROM ${database}.events FINAL WHERE event_id = 'github:1'
       SETTINGS output_format_json_quote_64bit_integers = 0`,
    );
    expect(row).toEqual({ ...record.value, _topic_partition: 3, _offset: 1 });
  });

  it('drops a repeated batch at the door, and adds what a batch of the same range has more', async () => {
    const before = await count('events');
    const batch = [event(100), event(101), event(102), event(103)];
    const partial = [batch[0], batch[1], batch[3]].filter((record) => record !== undefined);
    await sink.write(batchOf(partial));
    await sink.write(batchOf(partial));
    expect(await count('events')).toBe(before + 3);
    await sink.write(batchOf(batch));
    const [row] = await rows<{ n: number }>(
      reader,
      `SELECT toUInt32(count()) AS n FROM ${database}.events FINAL WHERE _offset BETWEEN 100 AND 103`,
    );
    expect(row?.n).toBe(4);
  });

  it('merges away an event that comes in another batch again', async () => {
    await sink.write(batchOf([event(200), event(201)]));
    await sink.write(batchOf([event(201), event(202)]));
    const [row] = await rows<{ n: number }>(
      reader,
      `SELECT toUInt32(count()) AS n FROM ${database}.events FINAL WHERE _offset BETWEEN 200 AND 202`,
    );
    expect(row?.n).toBe(3);
  });

  it('takes a batch of more months than the server allows by default', async () => {
    const batch = Array.from({ length: 240 }, (_, month) =>
      event(1_000 + month, { occurred_at: Date.UTC(2000, month, 15) }),
    );
    expect(new Set(await statuses(batch))).toEqual(new Set(['delivered']));
  });

  it('rejects a tombstone of an event and a time that it cannot hold', async () => {
    const tombstone = { ...event(2_000), value: null };
    const ancient = event(2_001, { occurred_at: Date.UTC(1800, 0, 1) });
    const results = await sink.write(batchOf([tombstone, ancient, event(2_002)]));
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected', 'delivered']);
    expect(results[1]).toMatchObject({
      error: { message: expect.stringContaining('occurred_at') },
    });
  });

  it('keeps the newest count of a window', async () => {
    const window_start = Date.UTC(2026, 0, 1);
    const countOf = (version: bigint, n: number): SinkRecord => ({
      ...event(Number(version)),
      topic: 'metric.tenant.count',
      key: 'acme',
      version,
      value: {
        tenant_id: 'acme',
        window_start,
        window_end: window_start + 60_000,
        count: n,
        version,
      },
    });
    expect(await statuses([countOf(1n, 3), countOf(2n, 7)])).toEqual(['delivered', 'delivered']);
    await sink.write(batchOf([countOf(1n, 3)]));
    expect(
      await rows(reader, `SELECT toUInt32(count) AS n FROM ${database}.tenant_counts FINAL`),
    ).toEqual([{ n: 7 }]);
  });

  it('refuses to start on a wrong password, or a table that cannot replace rows', async () => {
    const stranger = createClickhouseSink(configOf(database, { password: 'wrong' }), deps);
    await expect(stranger.open()).rejects.toMatchObject({
      code: 'CLICKHOUSE_SETTINGS',
      retry: 'none',
    });
    await stranger.close();

    const other = uniqueDatabase();
    await reader.command({ query: `CREATE DATABASE ${other}` });
    await reader.command({
      query: `CREATE TABLE ${other}.contacts (id String) ENGINE = MergeTree ORDER BY id`,
    });
    const misplaced = createClickhouseSink(configOf(other), deps);
    await expect(misplaced.open()).rejects.toMatchObject({
      code: 'CLICKHOUSE_TABLE_MISMATCH',
      retry: 'none',
      message: expect.stringContaining('MergeTree, not ReplacingMergeTree'),
    });
    await misplaced.close();
    await reader.command({ query: `DROP DATABASE ${other}` });
  });

  it('answers retry when the table is gone', async () => {
    await reader.command({ query: `RENAME TABLE ${database}.contacts TO ${database}.elsewhere` });
    const results = await sink.write(batchOf([contactRecord('x', 1n), contactRecord('y', 1n)]));
    await reader.command({ query: `RENAME TABLE ${database}.elsewhere TO ${database}.contacts` });
    expect(results.map((result) => result.status)).toEqual(['retry', 'retry']);
    expect(results[0]).toMatchObject({ error: { code: 'CLICKHOUSE_REFUSED', retry: 'backoff' } });
  });
});
