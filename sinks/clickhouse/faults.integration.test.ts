import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Sink, SinkBatch, SinkRecord } from '../../runtime/delivery/sink.ts';
import { tableModel } from '../../sinks/fields.ts';
import { ClickhouseServer } from '../../tests/support/clickhouse-server.ts';
import { loseAnswersOf } from '../../tests/support/lost-answers.ts';
import { clickhouseConfigSchema } from './config.ts';
import { compileEncoder } from './encode.ts';
import { createClickhouseSink } from './sink.ts';
import { clickhouseTables, type Table, tableOf } from './tables.ts';

const deps = { logger: pino({ level: 'silent' }) };
const TRIES = 100;
const WAIT_MS = 100;

/** Batches of several months: each is several parts in the server, which are not written at one moment. */
const MONTHS = 3;

function eventOf(offset: number, fields: Readonly<Record<string, unknown>> = {}): SinkRecord {
  const at = Date.UTC(2026, offset % MONTHS, 1) + offset;
  return {
    topic: 'event.recorded',
    partition: 0,
    offset: BigInt(offset),
    timestamp: at,
    key: `acme/${offset % 7}`,
    version: 0n,
    value: {
      event_id: `github:${offset}`,
      tenant_id: `tenant-${offset % 5}`,
      source: 'webhook:github',
      event_type: 'push',
      entity_id: `repo-${offset % 7}`,
      occurred_at: at,
      received_at: at + 5,
      payload: JSON.stringify({ offset }),
      ...fields,
    },
  };
}

function rangeOf(start: number, end: number, poison: Readonly<Record<number, object>> = {}) {
  const records = Array.from({ length: end - start }, (_, i) => {
    const offset = start + i;
    return eventOf(offset, { ...poison[offset] });
  });
  return {
    topic: 'event.recorded',
    partition: 0,
    range: { start: BigInt(start), end: BigInt(end), epoch: 0n, origin: '' },
    records,
  } satisfies SinkBatch;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 10 * TRIES; i += 1) {
    if (await condition()) return;
    await sleep(WAIT_MS / 10);
  }
  throw new Error('it did not happen');
}

/** As the delivery runner does: the same range until the store has it. */
async function deliver(sink: Sink, batch: SinkBatch): Promise<void> {
  for (let i = 0; i < TRIES; i += 1) {
    const statuses = new Set((await sink.write(batch)).map(({ status }) => status));
    if (statuses.size === 1 && statuses.has('delivered')) return;
    expect([...statuses]).not.toContain('rejected');
    await sleep(WAIT_MS);
  }
  throw new Error('it was not delivered');
}

describe('the ClickHouse sink, when things break', () => {
  let server: ClickhouseServer;
  let reader: ClickHouseClient;
  let database: string;
  const opened: Sink[] = [];

  beforeAll(async () => {
    server = await ClickhouseServer.start([
      { name: 'changeable', settings: { async_insert: 1, insert_deduplicate: 0 } },
      { name: 'forced', settings: { async_insert: 1 }, constant: ['async_insert'] },
      { name: 'readonly', settings: { readonly: 1 } },
      { name: 'small', settings: { max_memory_usage: 50_000_000 } },
    ]);
    reader = createClient({
      url: server.url,
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
    });
  });

  afterAll(async () => {
    await reader.close();
    await server.destroy();
  });

  beforeEach(() => {
    database = `faults_${randomUUID().slice(0, 8)}`;
  });

  afterEach(async () => {
    server.thaw();
    await Promise.all(opened.splice(0).map((sink) => sink.close()));
    await run(`DROP DATABASE IF EXISTS ${database} SYNC`);
  });

  async function run(query: string): Promise<void> {
    await reader.command({ query });
  }

  async function rows<T>(query: string): Promise<T[]> {
    return (await reader.query({ query, format: 'JSONEachRow' })).json<T>();
  }

  function create(
    fields: Readonly<Record<string, unknown>> = {},
    tables?: ReadonlyMap<string, Table>,
  ): Sink {
    const config = { url: server.url, database, requestTimeoutMs: 5_000, ...fields };
    const sink = createClickhouseSink(clickhouseConfigSchema.parse(config), deps, tables);
    opened.push(sink);
    return sink;
  }

  /** The sink's tables, and a roll-up of `events` behind a view. @param expression what the view does besides. */
  async function openWithRollUp(expression = '1', fields = {}): Promise<Sink> {
    await create().open();
    const window = 'SETTINGS non_replicated_deduplication_window = 100000';
    await run(
      `CREATE TABLE ${database}.per_tenant (tenant_id String, n UInt64, sum UInt64)
       ENGINE = SummingMergeTree ORDER BY tenant_id ${window}`,
    );
    await run(
      `CREATE MATERIALIZED VIEW ${database}.per_tenant_view TO ${database}.per_tenant AS
       SELECT tenant_id, count() AS n, sum(_offset) AS sum FROM ${database}.events
       WHERE ${expression} > 0 GROUP BY tenant_id`,
    );
    const sink = create(fields);
    await sink.open();
    return sink;
  }

  /** Rows as they lie there, without FINAL; and what the roll-up makes of them. */
  async function counted() {
    const [stored] = await rows<{ n: number; ids: number }>(
      `SELECT count() AS n, uniqExact(event_id) AS ids FROM ${database}.events`,
    );
    const [rolledUp] = await rows<{ n: number; sum: number }>(
      `SELECT sum(n) AS n, sum(sum) AS sum FROM ${database}.per_tenant`,
    );
    return { stored, rolledUp };
  }

  function exactly(offsets: readonly number[]) {
    const n = offsets.length;
    return {
      stored: { n, ids: n },
      rolledUp: { n, sum: offsets.reduce((sum, offset) => sum + offset, 0) },
    };
  }

  const upTo = (end: number, start = 0) => Array.from({ length: end - start }, (_, i) => start + i);

  it('keeps one copy when the connection is cut between insert and answer, re-encoded too', async () => {
    const proxy = await loseAnswersOf(server.url);
    const sink = await openWithRollUp('1', { url: proxy.url });
    const batch = rangeOf(0, 3_000);
    proxy.lose(true);
    const results = await sink.write(batch);
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['retry']));
    expect(proxy.lost()).toBeGreaterThan(0);
    await until(async () => (await counted()).rolledUp?.n === 3_000);
    proxy.lose(false);
    await deliver(sink, batch);
    expect(await counted()).toEqual(exactly(upTo(3_000)));
    const reEncoded = batch.records.map((record) =>
      eventOf(Number(record.offset), { payload: '{}' }),
    );
    await deliver(sink, { ...batch, records: reEncoded });
    await deliver(sink, rangeOf(3_000, 3_010));
    expect(await counted()).toEqual(exactly(upTo(3_010)));
    await proxy.close();
  });

  it('keeps one copy when the server is killed between table and view, again and again', async () => {
    // A view that takes its time leaves a moment in which the table has the rows and the roll-up has not.
    const sink = await openWithRollUp('sleepEachRow(0.03) + 1');
    for (let round = 0; round < 3; round += 1) {
      const [start, end] = [round * 90, (round + 1) * 90];
      const batch = rangeOf(start, end);
      const writing = sink.write(batch);
      if (round === 1) await sleep(WAIT_MS);
      else await until(async () => ((await counted()).stored?.n ?? 0) > start);
      await server.kill();
      const statuses = new Set((await writing).map(({ status }) => status));
      await server.restart();
      // On a busy machine the kill may come when all is written; the batch comes again then, too.
      expect([['retry'], ['delivered']]).toContainEqual([...statuses]);
      await deliver(sink, batch);
      expect(await counted()).toEqual(exactly(upTo(end)));
    }
  });

  it('waits for a frozen server, and keeps one copy of what it had got', async () => {
    const sink = await openWithRollUp('1', { requestTimeoutMs: 1_000 });
    await deliver(sink, rangeOf(0, 10));
    server.freeze();
    const results = await sink.write(rangeOf(10, 20));
    expect(results[0]).toMatchObject({ status: 'retry', of: 'store' });
    server.thaw();
    await deliver(sink, rangeOf(10, 20));
    expect(await counted()).toEqual(exactly(upTo(20)));
  });

  it('takes nothing of a request that breaks off, not even at the end of a row', async () => {
    const sink = await openWithRollUp();
    const table = clickhouseTables().get('event.recorded');
    if (table === undefined) throw new Error('no table');
    const types = new Map(table.columns.map(({ name, type }) => [name, type]));
    const encoder = compileEncoder(table, types);
    const { bytes, ends } = encoder.encode(rangeOf(0, 100).records);
    const query = encodeURIComponent(
      `INSERT INTO ${database}.events FORMAT RowBinaryWithNamesAndTypes`,
    );
    const broken = request(`${server.url}/?query=${query}&async_insert=0`, { method: 'POST' });
    const closed = new Promise((resolve) => broken.on('close', resolve));
    broken.on('error', () => undefined);
    broken.write(encoder.header);
    broken.write(bytes.subarray(0, ends[50]));
    await sleep(2 * WAIT_MS);
    broken.destroy();
    await closed;
    await until(async () => {
      const [found] = await rows<{ n: number }>(
        `SELECT count() AS n FROM system.processes WHERE query LIKE 'INSERT INTO ${database}%'`,
      );
      return found?.n === 0;
    });
    await deliver(sink, rangeOf(0, 100));
    expect(await counted()).toEqual(exactly(upTo(100)));
  });

  it('finds one poison row in 1,000, and does so again after a crash', async () => {
    const sink = await openWithRollUp();
    await run(`ALTER TABLE ${database}.events ADD CONSTRAINT no_poison CHECK source != 'poison'`);
    const batch = rangeOf(0, 1_000, { 617: { source: 'poison' }, 3: { occurred_at: -1e15 } });
    const good = upTo(1_000).filter((offset) => offset !== 617 && offset !== 3);
    for (let life = 0; life < 2; life += 1) {
      const results = await sink.write(batch);
      const rejected = results.flatMap(({ status }, i) => (status === 'delivered' ? [] : [i]));
      expect(rejected).toEqual([3, 617]);
      expect(results[617]).toMatchObject({ error: { code: 'CLICKHOUSE_REJECTED' } });
      expect(await counted()).toEqual(exactly(good));
    }
  });

  it('gets a batch through in parts that is larger than the server takes', async () => {
    const sink = await openWithRollUp('1', { username: 'small' });
    const large = { payload: 'x'.repeat(20_000) };
    const fields = Object.fromEntries(upTo(1_000).map((offset) => [offset, large]));
    const batch = rangeOf(0, 1_000, fields);
    const [first] = await sink.write(batch);
    expect(first).toMatchObject({ status: 'retry', of: 'store' });
    expect((await counted()).stored).toEqual({ n: 0, ids: 0 });
    await deliver(sink, batch);
    expect(await counted()).toEqual(exactly(upTo(1_000)));
    await deliver(sink, batch);
    expect(await counted()).toEqual(exactly(upTo(1_000)));
  });

  it('is one block in the server, however many rows: a part per month', async () => {
    const sink = await openWithRollUp();
    await run(`SYSTEM STOP MERGES ${database}.events`);
    await deliver(sink, rangeOf(0, 60_000));
    const parts = await rows<{ rows: number }>(
      `SELECT rows FROM system.parts WHERE database = '${database}' AND table = 'events' AND active`,
    );
    expect(parts.map((part) => part.rows)).toEqual([20_000, 20_000, 20_000]);
  });

  it('follows a schema that evolves while it runs, on both sides', async () => {
    const old = await openWithRollUp();
    const model = tableModel('event.recorded');
    const fields = [
      ...model.fields.map((field) =>
        field.name === 'entity_id' ? { ...field, nullable: true } : field,
      ),
      {
        name: 'region',
        type: { kind: 'string' },
        nullable: false,
        doc: 'Where.',
        hasDefault: true,
        default: 'eu',
      } as const,
    ];
    await deliver(old, rangeOf(0, 10));
    const evolved = create({}, new Map([['event.recorded', tableOf({ ...model, fields })]]));
    await evolved.open();
    // The old one finds a wider column: once it says retry, then it has looked.
    expect((await old.write(rangeOf(10, 20)))[0]).toMatchObject({ status: 'retry', of: 'store' });
    await deliver(old, rangeOf(10, 20));
    const newer = upTo(30, 20).map((offset) => [offset, { region: 'us', entity_id: null }]);
    await deliver(evolved, rangeOf(20, 30, Object.fromEntries(newer)));
    expect(await counted()).toEqual(exactly(upTo(30)));
    expect(
      await rows(
        `SELECT region, count() AS n, countIf(entity_id IS NULL) AS nulls FROM ${database}.events
         GROUP BY region ORDER BY region`,
      ),
    ).toEqual([
      { region: 'eu', n: 20, nulls: 0 },
      { region: 'us', n: 10, nulls: 10 },
    ]);
  });

  it('refuses tables that would forget, naming table, setting and remedy, down to the last view', async () => {
    await openWithRollUp();
    const setting = 'non_replicated_deduplication_window';
    await run(`ALTER TABLE ${database}.events MODIFY SETTING ${setting} = 100`);
    await run(
      `CREATE TABLE ${database}.total (n UInt64) ENGINE = SummingMergeTree ORDER BY tuple()`,
    );
    await run(
      `CREATE MATERIALIZED VIEW ${database}.total_view TO ${database}.total AS SELECT n FROM ${database}.per_tenant`,
    );
    await run(`CREATE TABLE ${database}.memory (n UInt64) ENGINE = Memory`);
    await run(
      `CREATE MATERIALIZED VIEW ${database}.memory_view TO ${database}.memory AS SELECT n FROM ${database}.per_tenant`,
    );
    const error = await create()
      .open()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CLICKHOUSE_DEDUPLICATION', retry: 'none' });
    const { message } = error as Error;
    expect(message).toContain('has the engine Memory');
    const remedies = message.match(/ALTER TABLE \S+ MODIFY SETTING \w+ = \d+/g) ?? [];
    expect(remedies).toHaveLength(2);
    for (const remedy of remedies) await run(remedy);
    await run(`DROP VIEW ${database}.memory_view`);
    await create().open();
  });

  it('overrides what a profile only proposes, and refuses what it forces', async () => {
    const sink = await openWithRollUp('1', { username: 'changeable' });
    await deliver(sink, rangeOf(0, 10));
    await deliver(sink, rangeOf(0, 10));
    expect(await counted()).toEqual(exactly(upTo(10)));
    for (const username of ['forced', 'readonly']) {
      await expect(create({ username }).open()).rejects.toMatchObject({
        code: 'CLICKHOUSE_SETTINGS',
        retry: 'none',
        message: expect.stringMatching(/async_insert|readonly/),
      });
    }
  });
});
