import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import type { SinkBatch, SinkRecord } from '../../runtime/delivery/sink.ts';
import type { Contact } from '../../schemas/types.ts';
import { type PostgresConfig, postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';
import { contactOf } from './contacts.ts';

const TOPIC = 'contact.golden';
const BATCH = 1_000;
/** Partitions, written at the same time, each over a connection of its own. */
const WRITERS = 4;
/** Each contact comes so often: the first time it is inserted, then updated. */
const VERSIONS = 2;

/** Writes all batches of a partition, one after the other, over a connection of its own. */
interface Writer {
  write(batch: SinkBatch): Promise<void>;
}

interface Contestant {
  readonly name: string;
  /** Writers of the tables in `config.schema`, which are there already, and how to end them. */
  start(config: PostgresConfig): Promise<{ writers: readonly Writer[]; end(): Promise<void> }>;
}

const deps = { logger: pino({ level: 'silent' }) };

const reachflow: Contestant = {
  name: 'reachflow',
  async start(config) {
    const sink = createPostgresSink(config, deps);
    await sink.open();
    const writers = Array.from({ length: WRITERS }, async (_, partition) => {
      const claim = await sink.claim?.(TOPIC, partition);
      if (claim === undefined) throw new Error('the sink keeps no positions');
      const { epoch } = claim;
      return {
        async write(batch: SinkBatch) {
          const range = batch.range && { ...batch.range, epoch };
          const results = await sink.write({ ...batch, range });
          const failed = results.find(({ status }) => status !== 'delivered');
          if (failed !== undefined && 'error' in failed) throw failed.error;
        },
      };
    });
    return { writers: await Promise.all(writers), end: () => sink.close() };
  },
};

const BARE_COLUMNS = [
  ...['id', 'tenant_id', 'full_name', 'email', 'phone', 'company_id', 'company'],
  ...['company_domain', 'industry', 'tags', 'score', 'created_at', 'updated_at', 'version'],
  'deleted',
];
const BARE_TYPES: Readonly<Record<string, string>> = {
  score: 'real',
  created_at: 'bigint',
  updated_at: 'bigint',
  version: 'bigint',
  deleted: 'boolean',
};
const BARE_CASTS: Readonly<Record<string, string>> = {
  tags: 'r.tags::text[]',
  created_at: 'to_timestamp(r.created_at / 1000.0)',
  updated_at: 'to_timestamp(r.updated_at / 1000.0)',
};

function bareSql(schema: string): string {
  const arrays = BARE_COLUMNS.map((name, i) => `$${i + 1}::${BARE_TYPES[name] ?? 'text'}[]`);
  const values = BARE_COLUMNS.map((name) => BARE_CASTS[name] ?? `r.${name}`);
  const updates = BARE_COLUMNS.slice(1).map((name) => `${name} = excluded.${name}`);
  return `INSERT INTO ${schema}.contacts_all AS t (${BARE_COLUMNS.join(', ')})
    SELECT ${values.join(', ')} FROM unnest(${arrays.join(', ')}) AS r (${BARE_COLUMNS.join(', ')})
    ON CONFLICT (id) DO UPDATE SET ${updates.join(', ')} WHERE t.version < excluded.version`;
}

/** What a person writes with `pg` alone: a prepared statement, an array per column, no position, no checks. */
const bare: Contestant = {
  name: 'bare pg',
  async start({ url, schema }) {
    const statement = { name: 'bare', text: bareSql(schema) };
    const clients = await Promise.all(
      Array.from({ length: WRITERS }, async () => {
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        return client;
      }),
    );
    const writers = clients.map((client) => ({
      async write({ records }: SinkBatch) {
        const contacts = records.map(({ value }) => value as unknown as Contact);
        const values = BARE_COLUMNS.map((name) => contacts.map((contact) => cell(contact, name)));
        await client.query({ ...statement, values });
      },
    }));
    return { writers, end: async () => void (await Promise.all(clients.map((c) => c.end()))) };
  },
};

function cell(contact: Contact, name: string): unknown {
  if (name === 'deleted') return false;
  if (name === 'tags') return `{${contact.tags.map((tag) => JSON.stringify(tag)).join(',')}}`;
  return contact[name as keyof Contact];
}

/** The batches of each partition: full ones, every contact `VERSIONS` times. */
function batchesOf(records: number): readonly (readonly SinkBatch[])[] {
  const count = Math.max(1, Math.round(records / WRITERS / BATCH / VERSIONS));
  return Array.from({ length: WRITERS }, (_, partition) =>
    Array.from({ length: count * VERSIONS }, (_, number): SinkBatch => {
      const start = number * BATCH;
      const version = BigInt(Math.floor(number / count) + 1);
      const made = Array.from({ length: BATCH }, (_, i): SinkRecord => {
        const index = ((number % count) * BATCH + i) * WRITERS + partition;
        const value = { ...contactOf(index, version) };
        const place = { topic: TOPIC, partition, offset: BigInt(start + i), timestamp: 0 };
        return { ...place, key: value.id, value, version };
      });
      const range = { start: BigInt(start), end: BigInt(start + BATCH), epoch: 0n, origin: '' };
      return { topic: TOPIC, partition, range, records: made };
    }),
  );
}

async function measureRun(
  contestant: Contestant,
  url: string,
  work: readonly (readonly SinkBatch[])[],
): Promise<Omit<Sample, 'contestant' | 'run'>> {
  const schema = `bench_${randomBytes(4).toString('hex')}`;
  const config = postgresConfigSchema.parse({ url, schema, maxConnections: WRITERS });
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    const maker = createPostgresSink(config, deps);
    await maker.open();
    await maker.close();
    const { writers, end } = await contestant.start(config);
    const [cpu, began] = [process.cpuUsage(), performance.now()];
    await Promise.all(
      writers.map(async (writer, i) => {
        for (const batch of work[i] ?? []) await writer.write(batch);
      }),
    );
    const seconds = (performance.now() - began) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    await end();
    const records = work.flat().length * BATCH;
    const { rows } = await admin.query<{ rows: number; versions: number }>(
      `SELECT count(*)::integer AS rows, sum(version)::integer AS versions FROM ${schema}.contacts`,
    );
    const contacts = records / VERSIONS;
    return {
      figures: {
        recordsPerSecond: records / seconds,
        cpuPerMillion: (user + system) / records,
      },
      exact: rows[0]?.rows === contacts && rows[0].versions === contacts * VERSIONS,
    };
  } finally {
    await admin.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await admin.end();
  }
}

async function run(url: string, options: ScenarioOptions) {
  const [work, warmUp] = [batchesOf(options.records), batchesOf(options.warmUp)];
  const contestants = [reachflow, bare];
  for (const contestant of contestants) await measureRun(contestant, url, warmUp);
  const samples: Sample[] = [];
  for (let number = 1; number <= options.runs; number += 1) {
    for (const contestant of contestants) {
      options.onProgress(`run ${number} of ${options.runs}: ${contestant.name} …`);
      const { name } = contestant;
      samples.push({ contestant: name, run: number, ...(await measureRun(contestant, url, work)) });
    }
  }
  return {
    columns: [
      { figure: 'recordsPerSecond', title: 'records/s', digits: 0 },
      { figure: 'cpuPerMillion', title: 'client CPU-s per M', digits: 1 },
    ],
    samples,
    ratios: [
      ...ratiosTo(samples, 'recordsPerSecond', 'records/s', 'more'),
      ...ratiosTo(samples, 'cpuPerMillion', 'client CPU', 'less'),
    ],
  };
}

/** The Postgres sink with its position, against a bare `pg` loop with the same batches and connections. */
export const sinkPostgres: Scenario = {
  name: 'sink-postgres',
  summary: 'the Postgres sink against a bare pg UNNEST loop',
  peers: false,
  defaults: { records: 200_000, warmUp: 40_000 },
  stores: ['postgres'],
  run: ({ stores }, _contestants, options) => run(stores.postgres.url, options),
};
