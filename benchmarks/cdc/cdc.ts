import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Capture } from '../../connectors/debezium/capture.ts';
import { connectConfigSchema, debeziumConfigSchema } from '../../connectors/debezium/config.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { followTopic, type TopicFollower } from '../../runtime/kafka/reader.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario } from '../harness/scenario.ts';
import { usageOf } from '../harness/usage.ts';
import { type CdcWorker, startWorker } from './worker.ts';

const TABLE = 'public.contacts';
const TOPIC = `cdc.${TABLE}`;
const OURS = 'reachflow (Avro)';
/** Rows inserted one by one, each with a pause before it, whose way into the topic is timed. */
const TIMED_ROWS = 200;
const TIMED_PAUSE_MS = 20;
const LIMIT_MS = 900_000;

type Overrides = Readonly<Record<string, string>>;

function both(settings: Overrides): Overrides {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => [
      [`key.converter${name}`, value],
      [`value.converter${name}`, value],
    ]),
  );
}

/** What each contestant changes in our configuration: converters alone. */
function contestants(registryUrl: string): ReadonlyMap<string, Overrides> {
  const stock = new URL('/apis/registry/v2', registryUrl).href;
  return new Map<string, Overrides>([
    [OURS, {}],
    [
      'JSON without schemas',
      both({ '': 'org.apache.kafka.connect.json.JsonConverter', '.schemas.enable': 'false' }),
    ],
    [
      'Apicurio (Avro)',
      both({
        '': 'io.apicurio.registry.utils.converter.AvroConverter',
        '.apicurio.registry.url': stock,
        '.apicurio.registry.auto-register': 'true',
        '.apicurio.registry.find-latest': 'true',
        '.apicurio.registry.headers.enabled': 'false',
        '.apicurio.registry.use-id': 'contentId',
        '.apicurio.registry.id-handler': 'io.apicurio.registry.serde.Legacy4ByteIdHandler',
        '.apicurio.registry.artifact-resolver-strategy':
          'io.apicurio.registry.serde.strategy.TopicIdStrategy',
      }),
    ],
  ]);
}

/** What has come into the topic: offsets would count the marks of transactions, too. */
class Arrivals {
  count = 0;
  lastAt = 0;
  #follower: TopicFollower | undefined;

  async start(client: KafkaClient, partitions: number): Promise<void> {
    const limits = { retentionMs: -1, maxMessageBytes: 1_048_576 };
    await ensureTopics(client, [{ name: TOPIC, partitions, cleanup: 'delete', ...limits }]);
    this.#follower = await followTopic(client, {
      topic: TOPIC,
      onRecord: () => {
        this.count += 1;
        this.lastAt = performance.now();
      },
    });
  }

  /** @throws Error when there are still fewer after a quarter of an hour. */
  async reach(count: number, look: () => Promise<void> = async () => undefined): Promise<void> {
    const until = Date.now() + LIMIT_MS;
    while (this.count < count) {
      if (Date.now() > until) throw new Error(`${this.count} of ${count} records`);
      await look();
      await delay(5);
    }
  }

  async stop(): Promise<void> {
    await this.#follower?.stop();
  }
}

/** Rows that were inserted while the connector stood, from its first records to its last. */
async function throughput(
  arrivals: Arrivals,
  worker: CdcWorker,
  rows: number,
): Promise<Record<string, number>> {
  const before = arrivals.count;
  const cpuBefore = usageOf([worker.pid]).cpuSeconds;
  await arrivals.reach(before + 1);
  const first = { at: arrivals.lastAt, count: arrivals.count };
  await arrivals.reach(before + rows);
  return {
    rowsPerSecond: ((before + rows - first.count) * 1_000) / (arrivals.lastAt - first.at),
    cpuPerMillion: ((usageOf([worker.pid]).cpuSeconds - cpuBefore) / rows) * 1e6,
  };
}

/** From before the insert until a reader of committed records has it, ms. */
async function latency(arrivals: Arrivals, db: pg.Client, from: number): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < TIMED_ROWS; i += 1) {
    await delay(TIMED_PAUSE_MS + Math.random() * TIMED_PAUSE_MS);
    const before = arrivals.count;
    const began = performance.now();
    await insertRows(db, from + i, 1);
    await arrivals.reach(before + 1);
    took.push(arrivals.lastAt - began);
  }
  return took.toSorted((a, b) => a - b);
}

async function insertRows(db: pg.Client, from: number, count: number): Promise<void> {
  await db.query(
    `INSERT INTO contacts (id, tenant_id, full_name, email, phone, company_id, tags)
     SELECT g, 'tenant-' || g % 100, 'Contact ' || g, 'c' || g || '@example.com', '+4915112345678', g % 1000, '{a,b}'
       FROM generate_series($1::bigint, $2::bigint) g`,
    [from, from + count - 1],
  );
}

async function once(
  environment: Environment,
  arena: Arena,
  worker: CdcWorker,
  contestant: readonly [name: string, overrides: Overrides],
  options: { readonly run: number; readonly rows: number; readonly warmUp: number },
): Promise<Sample> {
  const { rows, warmUp, run } = options;
  const [name, overrides] = contestant;
  const { client } = arena;
  const deps = {
    databaseUrl: environment.stores.postgres.url,
    registryUrl: environment.registryUrl,
    brokers: environment.brokers,
    namespace: client.config.namespace,
    partitions: environment.partitions,
    replicationFactor: 1,
    connect: connectConfigSchema.parse({ url: worker.url }),
    logger: environment.logger,
  };
  const config = debeziumConfigSchema.parse({ tables: [TABLE], snapshotMode: 'no_data' });
  const capture = new Capture({ source: '', config }, deps);
  const { connector } = capture.names;
  const db = new pg.Client({ connectionString: deps.databaseUrl });
  await db.connect();
  const arrivals = new Arrivals();
  try {
    await arrivals.start(client, environment.partitions);
    await db.query('TRUNCATE contacts');
    await capture.source.check([]);
    await capture.client.apply(connector, { ...capture.wanted, ...overrides });
    await insertRows(db, 1, 1);
    await arrivals.reach(1, async () => {
      const state = await capture.client.status(connector);
      const failed = state?.tasks.find((task) => task.state === 'FAILED');
      if (failed !== undefined) throw new Error(`${name}: ${failed.trace ?? 'failed'}`);
      await delay(200);
      // A slot that was not there yet has not seen the row.
      await db.query("UPDATE contacts SET full_name = 'again' WHERE id = 1");
    });
    await insertRows(db, 2, warmUp);
    await arrivals.reach(warmUp);
    await capture.client.stop(connector);
    while (((await capture.client.status(connector))?.tasks.length ?? 1) > 0) await delay(100);
    await delay(1_000);
    const before = arrivals.count;
    await insertRows(db, warmUp + 2, rows);
    await capture.client.resume(connector);
    const figures = await throughput(arrivals, worker, rows);
    const took = await latency(arrivals, db, warmUp + rows + 2);
    const at = (share: number) => took[Math.floor(share * (took.length - 1))] ?? Number.NaN;
    return {
      contestant: name,
      run,
      figures: { ...figures, p50: at(0.5), p95: at(0.95) },
      exact: arrivals.count === before + rows + TIMED_ROWS,
      detail: `${rows} rows`,
    };
  } finally {
    await arrivals.stop();
    await db.end();
    await capture.remove();
  }
}

/** How fast inserted rows come into the topic, by converter; and how soon one does. */
export const cdc: Scenario = {
  name: 'cdc',
  summary:
    'inserted rows of Postgres in a topic, by converter: ours, JSON without schemas, Apicurio',
  peers: false,
  stores: ['postgres'],
  defaults: { records: 200_000, warmUp: 20_000 },
  async run(environment, _contestants, { records, warmUp, runs, onProgress }) {
    const samples: Sample[] = [];
    const name = `bench-connect-${process.pid}`;
    const worker = await startWorker(environment, name, onProgress);
    try {
      // Run 0 is of no account: all of them meet a worker whose code is compiled.
      for (let run = 0; run <= runs; run += 1) {
        for (const contestant of contestants(environment.registryUrl)) {
          onProgress(`run ${run} of ${runs}: ${contestant[0]} …`);
          const arena = await environment.arena('cdc');
          try {
            const options = { run, rows: run === 0 ? warmUp : records, warmUp };
            const sample = await once(environment, arena, worker, contestant, options);
            if (run > 0) samples.push(sample);
          } finally {
            await arena.remove();
          }
        }
      }
    } finally {
      await worker.end();
    }
    const columns = [
      { figure: 'rowsPerSecond', title: 'rows/s', digits: 0 },
      { figure: 'cpuPerMillion', title: 'worker CPU-s per M', digits: 1 },
      { figure: 'p50', title: 'p50 ms', digits: 0 },
      { figure: 'p95', title: 'p95 ms', digits: 0 },
    ];
    const ratios = [
      ...ratiosTo(samples, 'rowsPerSecond', 'rows per second', 'more'),
      ...ratiosTo(samples, 'cpuPerMillion', 'CPU per row', 'less'),
    ];
    return { columns, samples, ratios };
  },
};
