import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouseClient, createClient } from '@clickhouse/client';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { EventRecorded } from '../../schemas/types.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { batchOf } from '../fixtures.ts';
import { clickhouseConfigSchema } from './config.ts';
import { ensureRollups } from './rollup-tables.ts';
import { DELAY_GAMMA, type Rollup, rollups } from './rollups.ts';
import { ClickhouseSession } from './session.ts';
import { createClickhouseSink } from './sink.ts';

const NOON = Date.UTC(2026, 0, 1, 12);
const deps = { logger: pino({ level: 'silent' }) };
const database = `rollups_${randomUUID().slice(0, 8)}`;

let admin: ClickHouseClient;
let session: ClickhouseSession;

function config() {
  const { url, username, password } = testStack().clickhouse;
  return clickhouseConfigSchema.parse({ url, username, password, database });
}

beforeAll(() => {
  const { url, username, password } = testStack().clickhouse;
  admin = createClient({ url, username, password });
  session = new ClickhouseSession(config());
});
afterAll(async () => {
  await admin.command({ query: `DROP DATABASE IF EXISTS ${database} SYNC` });
  await admin.close();
  await session.close();
});

const rows = <T>(query: string) => session.rows<T>(query.replaceAll('{db}', database), {});

function event(partition: number, offset: number): SinkRecord {
  const value: EventRecorded = {
    event_id: `${partition}-${offset}`,
    tenant_id: `t${offset % 3}`,
    source: 'webhook:gh',
    event_type: offset % 2 === 0 ? 'push' : 'pull',
    entity_id: 'x',
    occurred_at: NOON + offset * 7_000,
    received_at: NOON + offset * 7_000 + 100 * (offset % 10),
    payload: '{}',
  };
  const key = `${value.tenant_id}:x`;
  const of = { topic: 'event.recorded', partition, offset: BigInt(offset), key, version: 0n };
  return { ...of, timestamp: NOON, value: { ...value } };
}

/** As a lane does: a batch that was not taken is repeated as it was. */
async function write(sink: ReturnType<typeof createClickhouseSink>, partition: number, at: number) {
  const records = Array.from({ length: 10 }, (_, i) => event(partition, at + i));
  for (let times = 0; times < 20; times += 1) {
    const results = await sink.write(batchOf(records));
    if (results.every(({ status }) => status === 'delivered')) return;
    await sleep(100);
  }
  throw new Error('a batch was not taken');
}

const COLUMNS = 'tenant_id, minute, source, event_type';
const RAW = `SELECT tenant_id, toStartOfMinute(occurred_at) AS minute, source, event_type, toString(count()) AS n
  FROM {db}.events FINAL GROUP BY ${COLUMNS} ORDER BY ${COLUMNS}`;
const summed = (table: string) =>
  `SELECT ${COLUMNS}, toString(sum(events)) AS n FROM {db}.${table} GROUP BY ${COLUMNS} ORDER BY ${COLUMNS}`;

/** A quantile of bins, in ms. */
function binAt(quantile: number, bins: readonly { bin: number; n: string }[]): number {
  const rank = quantile * (bins.reduce((sum, { n }) => sum + Number(n), 0) - 1);
  let below = 0;
  const found = bins.find(({ n }) => {
    below += Number(n);
    return below > rank;
  });
  return (DELAY_GAMMA ** (found?.bin ?? Number.NaN) * 2) / (1 + DELAY_GAMMA);
}

async function expectExact(): Promise<void> {
  const raw = await rows(RAW);
  expect(raw.length).toBeGreaterThan(0);
  expect(await rows(summed('events_by_minute'))).toEqual(raw);
  const delays = await rows<{ bin: number; n: string }>(
    'SELECT delay_bin AS bin, toString(sum(events)) AS n FROM {db}.event_delays_by_minute GROUP BY bin ORDER BY bin',
  );
  const [exact] = await rows<{ n: string; sorted: number[] }>(
    `SELECT toString(count()) AS n, arraySort(groupArray(dateDiff('millisecond', occurred_at, received_at))) AS sorted
     FROM {db}.events FINAL`,
  );
  expect(delays.reduce((sum, { n }) => sum + Number(n), 0)).toBe(Number(exact?.n));
  for (const quantile of [0.5, 0.95, 0.99]) {
    const q = binAt(quantile, delays);
    const sorted = exact?.sorted ?? [];
    const wanted = Number(sorted[Math.floor(quantile * (sorted.length - 1))]);
    expect(Math.abs(q - wanted)).toBeLessThanOrEqual(wanted * 0.0501 + 1e-9);
  }
}

const tablesOf = (name: string) =>
  rows<{ name: string; engine: string }>(
    `SELECT name, engine FROM system.tables WHERE database = '{db}' AND startsWith(name, '${name}') ORDER BY name`,
  );

describe('roll-ups', () => {
  it('are made with the table, by several processes at once, and count a repeated batch once', async () => {
    const sinks = Array.from({ length: 3 }, () => createClickhouseSink(config(), deps));
    await Promise.all(sinks.map((sink) => sink.open()));
    const [first] = sinks;
    if (first === undefined) throw new Error('no sink');
    for (let at = 0; at < 50; at += 10) {
      for (const sink of sinks) await write(sink, at % 20, at);
    }
    await expectExact();
    expect((await tablesOf('events_by_minute')).map(({ engine }) => engine).sort()).toEqual([
      'AggregatingMergeTree',
      'MaterializedView',
      'View',
    ]);
    await Promise.all(sinks.map((sink) => sink.close()));
  });

  it('that are defined otherwise are made anew, of all rows, while rows come', async () => {
    const changed: Rollup[] = rollups
      .filter(({ name }) => name === 'events_by_minute')
      .map((rollup) => ({ ...rollup, comment: 'Another.' }));
    const before = await tablesOf('events_by_minute__');
    const sink = createClickhouseSink(config(), deps);
    await sink.open();
    let ended = false;
    const writing = (async () => {
      for (let at = 100; !ended || at < 130; at += 10) {
        await write(sink, 3, at);
        await sleep(200);
      }
    })();
    await Promise.all([1, 2].map(() => ensureRollups(session, database, 'events', changed)));
    ended = true;
    await writing;
    await sink.close();
    await expectExact();
    const after = await tablesOf('events_by_minute__');
    expect(after).toHaveLength(2);
    for (const { name } of before) expect(after.map((table) => table.name)).not.toContain(name);
  });

  it('that a process died over are made anew', async () => {
    const sink = createClickhouseSink(config(), deps);
    await sink.open();
    const [feed] = (await tablesOf('events_by_minute__')).filter(
      ({ engine }) => engine === 'MaterializedView',
    );
    await session.command(`DROP TABLE ${database}.${feed?.name} SYNC`);
    await write(sink, 9, 0);
    await sink.close();
    const again = createClickhouseSink(config(), deps);
    await again.open();
    // What it was killed over comes again: its table has it, and so has the sum of all rows.
    await write(again, 9, 0);
    await write(again, 9, 10);
    await again.close();
    await expectExact();
  });
});
