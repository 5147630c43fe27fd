import { Readable } from 'node:stream';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { pino } from 'pino';
import type { SinkBatch, SinkRecord } from '../../runtime/delivery/sink.ts';
import type { ClickhouseConfig } from '../../sinks/clickhouse/config.ts';
import { compileEncoder } from '../../sinks/clickhouse/encode.ts';
import { createClickhouseSink } from '../../sinks/clickhouse/sink.ts';
import { clickhouseTables, createTableSql, qualified } from '../../sinks/clickhouse/tables.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const TOPIC = 'event.recorded';
const TABLE = 'events';
const PARTITIONS = 4;
const BATCH = 10_000;
const DATABASE = 'reachflow_bench';

type Batches = readonly SinkBatch[];

/** Writes batches into an empty table; those of one partition one after the other. */
interface Loader {
  open(): Promise<void>;
  write(batch: SinkBatch): Promise<void>;
  close(): Promise<void>;
}

function eventOf(seed: number, i: number): SinkRecord {
  const at = Date.UTC(2026, 0, 1) + i * 37;
  const repo = (i * 7 + seed) % 1_000;
  const payload = {
    ref: 'refs/heads/main',
    before: (i * 2_654_435_761).toString(16).padStart(40, '0'),
    repository: { id: repo, full_name: `acme/repo-${repo}`, private: false },
    pusher: { name: 'zoe', email: 'zoe@example.com' },
    commits: [{ message: `change ${i}`, added: [], removed: [], modified: [`src/${repo}.ts`] }],
  };
  return {
    topic: TOPIC,
    partition: i % PARTITIONS,
    offset: BigInt(Math.floor(i / PARTITIONS)),
    timestamp: at,
    key: `tenant-${i % 50}/repo-${repo}`,
    version: 0n,
    value: {
      event_id: `github:${seed}-${i}`,
      tenant_id: `tenant-${i % 50}`,
      source: 'webhook:github',
      event_type: ['push', 'pull_request', 'issues'][i % 3],
      entity_id: `repo-${repo}`,
      occurred_at: at,
      received_at: at + 5,
      payload: JSON.stringify(payload),
    },
  };
}

function batchesOf({ records, seed }: Pick<ScenarioOptions, 'records' | 'seed'>): Batches {
  const partitions = Array.from({ length: PARTITIONS }, (): SinkRecord[] => []);
  for (let i = 0; i < records; i += 1) partitions[i % PARTITIONS]?.push(eventOf(seed, i));
  return partitions.flatMap((all, partition) => {
    const batches: SinkBatch[] = [];
    for (let from = 0; from < all.length; from += BATCH) {
      const part = all.slice(from, from + BATCH);
      const range = { start: BigInt(from), end: BigInt(from + part.length), epoch: 0n, origin: '' };
      batches.push({ topic: TOPIC, partition, range, records: part });
    }
    return batches;
  });
}

function clientOf({ url, username, password }: ClickhouseConfig): ClickHouseClient {
  return createClient({
    url,
    username,
    password,
    max_open_connections: PARTITIONS,
    request_timeout: 120_000,
    log: { level: ClickHouseLogLevel.OFF },
    clickhouse_settings: { async_insert: 0, wait_end_of_query: 1 },
  });
}

const eventsTable = clickhouseTables().get(TOPIC);
if (eventsTable === undefined) throw new Error(`no table of ${TOPIC}`);
const table = eventsTable;
const target = qualified(DATABASE, TABLE);

function ours(config: ClickhouseConfig): Loader {
  const logger = pino({ level: 'silent' });
  const tables = new Map([[TOPIC, table]]);
  const sink = createClickhouseSink({ ...config, database: DATABASE }, { logger }, tables);
  return {
    open: () => sink.open(),
    async write(batch) {
      const results = await sink.write(batch);
      const failed = results.find(({ status }) => status !== 'delivered');
      if (failed !== undefined && 'error' in failed) throw failed.error;
    },
    close: () => sink.close(),
  };
}

/** A loop as the client's documentation has it, into the same table without memory for repeats. */
function bare(
  config: ClickhouseConfig,
  insert: (client: ClickHouseClient, batch: SinkBatch) => Promise<void>,
): Loader {
  const client = clientOf(config);
  return {
    async open() {
      const sql = createTableSql(target, table);
      await client.command({ query: sql.replace(/SETTINGS non_replicated.*\n/, '') });
    },
    write: (batch) => insert(client, batch),
    close: () => client.close(),
  };
}

/** Objects by column name; times as ClickHouse reads them, 64-bit numbers as text. */
async function insertObjects(client: ClickHouseClient, batch: SinkBatch): Promise<void> {
  const instant = (ms: unknown) =>
    new Date(Number(ms)).toISOString().replace('T', ' ').slice(0, -1);
  const values = batch.records.map(({ value, partition, offset }) => ({
    ...value,
    occurred_at: instant(value?.['occurred_at']),
    received_at: instant(value?.['received_at']),
    _topic_partition: partition,
    _offset: String(offset),
  }));
  await client.insert({ table: target, values, format: 'JSONEachRow' });
}

/** Our encoder, compiled for each run as the sink's is: its code is as new to the engine. */
function binary(config: ClickhouseConfig): Loader {
  const types = new Map(table.columns.map(({ name, type }) => [name, type]));
  const encoder = compileEncoder(table, types);
  return bare(config, async (client, batch) => {
    const { bytes } = encoder.encode(batch.records);
    const { stream } = await client.exec({
      query: `INSERT INTO ${target} FORMAT RowBinaryWithNamesAndTypes`,
      values: Readable.from([encoder.header, bytes], { objectMode: false }),
    });
    for await (const _ of stream);
  });
}

const loaders: Readonly<Record<string, (config: ClickhouseConfig) => Loader>> = {
  Reachflow: ours,
  'bare client, JSONEachRow': (config) => bare(config, insertObjects),
  'bare client, RowBinary': binary,
};

/** CPU time of all queries of the server so far, s. */
async function serverCpu(client: ClickHouseClient): Promise<number> {
  const result = await client.query({
    query: "SELECT value FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'",
    format: 'JSONEachRow',
  });
  const [row] = await result.json<{ value: string }>();
  return Number(row?.value ?? 0) / 1e6;
}

async function writeAll(loader: Loader, batches: Batches): Promise<void> {
  await Promise.all(
    Array.from({ length: PARTITIONS }, async (_, partition) => {
      for (const batch of batches) if (batch.partition === partition) await loader.write(batch);
    }),
  );
}

async function measured(
  admin: ClickHouseClient,
  config: ClickhouseConfig,
  contestant: string,
  run: number,
  batches: Batches,
): Promise<Sample> {
  const loader = loaders[contestant]?.(config);
  if (loader === undefined) throw new Error(`no contestant ${contestant}`);
  await admin.command({ query: `DROP DATABASE IF EXISTS ${DATABASE} SYNC` });
  await admin.command({ query: `CREATE DATABASE ${DATABASE}` });
  try {
    await loader.open();
    // What is merged when would be the scheduler's doing, not the contestant's.
    await admin.command({ query: `SYSTEM STOP MERGES ${target}` });
    const [server, own, began] = [await serverCpu(admin), process.cpuUsage(), performance.now()];
    await writeAll(loader, batches);
    const seconds = (performance.now() - began) / 1_000;
    const { user, system } = process.cpuUsage(own);
    const [ownCpu, serverSeconds] = [(user + system) / 1e6, (await serverCpu(admin)) - server];
    const records = batches.reduce((sum, batch) => sum + batch.records.length, 0);
    const result = await admin.query({
      query: `SELECT toUInt32(count()) AS n, toUInt32(uniqExact(event_id)) AS ids FROM ${target}`,
      format: 'JSONEachRow',
    });
    const [found] = await result.json<{ n: number; ids: number }>();
    const figures = {
      recordsPerSecond: records / seconds,
      clientCpu: (ownCpu / records) * 1e6,
      serverCpu: (serverSeconds / records) * 1e6,
      recordsPerCpuSecond: records / (ownCpu + serverSeconds),
    };
    const exact = found?.n === records && found.ids === records;
    return { contestant, run, figures, exact, detail: `${found?.n} of ${records} rows` };
  } finally {
    await loader.close();
    await admin.command({ query: `DROP DATABASE IF EXISTS ${DATABASE} SYNC` });
  }
}

/** The sink against loops of its client, the same batches. Needs no broker. */
export const clickhouseSink: Scenario = {
  name: 'sink-clickhouse',
  summary:
    'the ClickHouse sink against a bare loop of its client, same batches, records per second',
  peers: false,
  defaults: { records: 400_000, warmUp: 80_000 },
  stores: ['clickhouse'],
  async run({ stores }, _contestants, options) {
    const admin = clientOf(stores.clickhouse);
    const batches = batchesOf(options);
    const warmUp = batchesOf({ records: options.warmUp, seed: options.seed + 1 });
    const names = Object.keys(loaders);
    for (const name of names) await measured(admin, stores.clickhouse, name, 0, warmUp);
    const samples: Sample[] = [];
    for (let run = 1; run <= options.runs; run += 1) {
      for (const name of names) {
        options.onProgress(`run ${run} of ${options.runs}: ${name} …`);
        samples.push(await measured(admin, stores.clickhouse, name, run, batches));
      }
    }
    await admin.close();
    const ratios = [
      ...ratiosTo(samples, 'recordsPerSecond', 'records per second', 'more'),
      ...ratiosTo(samples, 'recordsPerCpuSecond', 'records per CPU-second', 'more'),
    ];
    const columns = [
      { figure: 'recordsPerSecond', title: 'records/s', digits: 0 },
      { figure: 'clientCpu', title: 'CPU-s per million, client', digits: 1 },
      { figure: 'serverCpu', title: 'server', digits: 1 },
      { figure: 'recordsPerCpuSecond', title: 'records per CPU-s', digits: 0 },
    ];
    return { columns, samples, ratios };
  },
};
