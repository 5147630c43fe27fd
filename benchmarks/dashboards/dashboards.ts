import { randomUUID } from 'node:crypto';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { pino } from 'pino';
import { charts } from '../../dashboards/charts.ts';
import { rawQueries } from '../../dashboards/raw.ts';
import { optionalParts } from '../../schemas/topics.ts';
import type { ClickhouseConfig } from '../../sinks/clickhouse/config.ts';
import { createClickhouseSink } from '../../sinks/clickhouse/sink.ts';
import { clickhouseTables, qualified } from '../../sinks/clickhouse/tables.ts';
import { figureOf, type Sample } from '../harness/report.ts';
import type { Scenario } from '../harness/scenario.ts';
import { END_SECONDS, fill } from './fill.ts';

const DATABASE = 'reachflow_bench_dashboards';
const HOUR_SECONDS = 3_600;
/** Wanted, ms. */
const [CHART_MS, RAW_MS] = [50, 200];

/** Beside the day: what the console shows first. */
const STEP_SECONDS = 300;
const ONE_TENANT = 'tenant-7';

function clientOf({ url, username, password }: ClickhouseConfig, database?: string) {
  return createClient({
    url,
    username,
    password,
    request_timeout: 600_000,
    log: { level: ClickHouseLogLevel.OFF },
    clickhouse_settings: { max_partitions_per_insert_block: '0' },
    ...(database === undefined ? {} : { database }),
  });
}

/** A query that was timed. */
interface Timed {
  readonly ms: number;
  readonly id: string;
}

/** How long an answer takes, read to its end. */
async function timeOf(
  client: ClickHouseClient,
  sql: string,
  hours: number,
  tenant: string,
): Promise<Timed> {
  const [from, to] = [END_SECONDS - hours * HOUR_SECONDS, END_SECONDS];
  const query_params = { tenant, from, to, step: STEP_SECONDS };
  const query_id = randomUUID();
  const began = performance.now();
  const result = await client.query({ query: sql, query_params, query_id, format: 'JSONEachRow' });
  await result.text();
  return { ms: performance.now() - began, id: query_id };
}

/** CPU time of queries in the server, ms, by id: what a machine that is busy with other things cannot change much. */
async function cpuOf(client: ClickHouseClient): Promise<ReadonlyMap<string, number>> {
  await client.command({ query: 'SYSTEM FLUSH LOGS' });
  const result = await client.query({
    query: `SELECT query_id AS id, ProfileEvents['OSCPUVirtualTimeMicroseconds'] / 1000 AS cpu
      FROM system.query_log WHERE type = 'QueryFinish' AND current_database = {database:String}`,
    query_params: { database: DATABASE },
    format: 'JSONEachRow',
  });
  const rows = await result.json<{ id: string; cpu: number }>();
  return new Map(rows.map(({ id, cpu }) => [id, cpu]));
}

const NOT_TIMED: Timed = { ms: Number.NaN, id: '' };

async function timesOf(client: ClickHouseClient, id: string, sql: string) {
  const raw = rawQueries[id];
  return {
    day: await timeOf(client, sql, 24, ''),
    hour: await timeOf(client, sql, 1, ''),
    tenant: await timeOf(client, sql, 24, ONE_TENANT),
    raw: raw === undefined ? NOT_TIMED : await timeOf(client, raw, 24, ''),
    rawTenant: raw === undefined ? NOT_TIMED : await timeOf(client, raw, 24, ONE_TENANT),
  };
}

/** Every chart in turn, so often, after a first time that reads files which are in no cache yet. */
async function samplesOf(client: ClickHouseClient, runs: number): Promise<Sample[]> {
  const timed: { run: number; id: string; times: Awaited<ReturnType<typeof timesOf>> }[] = [];
  for (let run = 0; run <= runs; run += 1) {
    for (const { id, sql } of charts) {
      const times = await timesOf(client, id, sql);
      if (run > 0) timed.push({ run, id, times });
    }
  }
  const cpu = await cpuOf(client);
  return timed.map(({ run, id, times: { day, hour, tenant, raw, rawTenant } }) => ({
    contestant: id,
    run,
    figures: {
      day: day.ms,
      cpu: cpu.get(day.id) ?? Number.NaN,
      hour: hour.ms,
      tenant: tenant.ms,
      raw: raw.ms,
      rawCpu: cpu.get(raw.id) ?? Number.NaN,
      rawTenant: rawTenant.ms,
    },
  }));
}

/** The sink's tables, empty, with their roll-ups. */
async function openTables(config: ClickhouseConfig, admin: ClickHouseClient): Promise<void> {
  await admin.command({ query: `DROP DATABASE IF EXISTS ${qualified(undefined, DATABASE)} SYNC` });
  const logger = pino({ level: 'silent' });
  const tables = clickhouseTables({ parts: optionalParts });
  const sink = createClickhouseSink({ ...config, database: DATABASE }, { logger }, tables);
  await sink.open();
  await sink.close();
}

/** Each chart's query over a day of events: from what the chart reads, and from the events themselves. */
export const dashboards: Scenario = {
  name: 'dashboards',
  summary: "each chart's query over a day of 10 M events, from roll-ups and from the events",
  peers: false,
  stores: ['clickhouse'],
  defaults: { records: 10_000_000, warmUp: 0, runs: 5 },
  async run({ stores: { clickhouse } }, _, { records, runs, onProgress }) {
    const admin = clientOf(clickhouse);
    await openTables(clickhouse, admin);
    const client = clientOf(clickhouse, DATABASE);
    const began = performance.now();
    await fill(client, records);
    onProgress(`filled in ${((performance.now() - began) / 1_000).toFixed(0)} s`);
    const samples = await samplesOf(client, runs);
    await admin.command({ query: `DROP DATABASE ${qualified(undefined, DATABASE)} SYNC` });
    await Promise.all([client.close(), admin.close()]);
    const slowest = (figure: string, ids: readonly string[]) =>
      Math.max(...ids.map((id) => figureOf(samples, id, figure).median));
    const ids = charts.map(({ id }) => id);
    return {
      columns: [
        { figure: 'day', title: 'chart, a day, ms', digits: 0 },
        { figure: 'cpu', title: 'its CPU, ms', digits: 0 },
        { figure: 'hour', title: 'an hour, ms', digits: 0 },
        { figure: 'tenant', title: 'one tenant, ms', digits: 0 },
        { figure: 'raw', title: 'from events, ms', digits: 0 },
        { figure: 'rawCpu', title: 'its CPU, ms', digits: 0 },
        { figure: 'rawTenant', title: 'one tenant, ms', digits: 0 },
      ],
      samples,
      ratios: [
        {
          name: `${CHART_MS} ms to the slowest chart`,
          value: CHART_MS / slowest('day', ids),
          target: 1,
        },
        {
          name: `${RAW_MS} ms to the slowest from events`,
          value: RAW_MS / slowest('raw', Object.keys(rawQueries)),
          target: 1,
        },
      ],
    };
  },
};
