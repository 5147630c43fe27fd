import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { heapFlags } from '../../cli/workers/memory.ts';
import { sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import { tableModel } from '../../sinks/fields.ts';
import { postgresConfigSchema } from '../../sinks/postgres/config.ts';
import { createPostgresSink } from '../../sinks/postgres/sink.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';
import { parentOf, usageOf } from '../harness/usage.ts';
import { ConnectWorker } from '../peers/jdbc-sink.ts';
import { CONTACT_KEY, CONTACT_WITHOUT_TAGS, fillContacts } from './contacts.ts';
import type { WorkerAnswer, WorkerCommand } from './contacts-worker.ts';

const TOPIC = 'contact.golden';
/** The same records with keys in Avro, which is what Debezium's sink takes. */
const KEYED = 'contact.keyed';
const TABLE = 'contacts_all';
/** Each contact comes so often: the first time it is inserted, then updated. */
const VERSIONS = 2;
/** What `workers.memoryMb` is by default, MiB. */
const MEMORY_MB = 512;
const POLL_MS = 20;
/** Ours and theirs: a run that takes longer has failed. */
const RUN_TIMEOUT_MS = 600_000;
/** Looks at the table between two at what Connect says of its tasks. */
const LOOKS_PER_STATUS = 50;

/** A full topic, and what is to be in the table in the end. */
interface Work {
  readonly arena: Arena;
  readonly contacts: number;
  /** The last contact of each partition. */
  readonly lastIds: readonly string[];
}

interface Contestant {
  readonly name: string;
  readonly pid: number;
  /** Makes ready what is not measured. */
  prepare(work: Work, schema: string): Promise<void>;
  begin(): Promise<void>;
  /** @throws ReachflowError when it has failed. */
  check(): Promise<void>;
  finish(): Promise<void>;
}

/** Debezium's settings beside those that say what goes where. */
const DEBEZIUM: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'debezium, defaults': {},
  ...Object.fromEntries(
    ['1', '2', '4'].map((tasks) => [
      `debezium, best, tasks.max=${tasks}`,
      {
        'tasks.max': tasks,
        'batch.size': '2000',
        'dialect.postgres.unnest.insert.enabled': 'true',
        'consumer.override.max.poll.records': '2000',
        'consumer.override.fetch.min.bytes': '131072',
        'consumer.override.fetch.max.wait.ms': '250',
      },
    ]),
  ),
};

function debezium(
  worker: ConnectWorker,
  name: string,
  settings: Readonly<Record<string, string>>,
  postgresUrl: string,
): Contestant {
  const { hostname, port, pathname, username, password } = new URL(postgresUrl);
  let connector = '';
  return {
    name,
    pid: worker.pid,
    async prepare({ arena }, schema) {
      connector = `bench-${schema}`;
      await worker.create(connector, {
        'connector.class': 'io.debezium.connector.jdbc.JdbcSinkConnector',
        topics: arena.client.physical(KEYED),
        'connection.url': `jdbc:postgresql://${hostname}:${port || '5432'}${pathname}`,
        'connection.username': decodeURIComponent(username),
        'connection.password': decodeURIComponent(password),
        'insert.mode': 'upsert',
        'primary.key.mode': 'record_key',
        'collection.name.format': `${schema}.${TABLE}`,
        // A topic that is full when the group is new.
        'consumer.override.auto.offset.reset': 'earliest',
        ...settings,
      });
    },
    begin: () => worker.resume(connector),
    check: () => worker.assertRunning(connector),
    finish: () => worker.remove(connector),
  };
}

/** A process with the Postgres sink behind its runner. */
class OurProcess {
  readonly #child: ChildProcess;
  #failed: string | undefined;

  constructor() {
    this.#child = fork(join(import.meta.dirname, 'contacts-worker.ts'), {
      execArgv: heapFlags(MEMORY_MB),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (answer: WorkerAnswer) => {
      if ('failed' in answer) this.#failed = answer.failed;
    });
    this.#child.on('exit', (code) => {
      this.#failed ??= `ended (${code})`;
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  async tell(command: WorkerCommand): Promise<void> {
    const answered = new Promise((resolve) => {
      this.#child.once('message', resolve);
      this.#child.once('exit', resolve);
    });
    this.#child.send(command);
    await answered;
    this.check();
  }

  check(): void {
    if (this.#failed === undefined) return;
    throw new ReachflowError(`Reachflow: ${this.#failed}`, {
      code: 'CONTESTANT_FAILED',
      domain: 'internal',
    });
  }

  end(): void {
    this.#child.disconnect();
  }
}

function reachflow(ours: OurProcess, environment: Environment, connections: number): Contestant {
  const { brokers, registryUrl, partitions, stores } = environment;
  let start: (() => Promise<void>) | undefined;
  let group: (() => Promise<void>) | undefined;
  return {
    name: 'reachflow',
    pid: ours.pid,
    async prepare({ arena }, schema) {
      const where = { brokers: [...brokers], registryUrl, postgresUrl: stores.postgres.url };
      const what = { namespace: arena.name, partitions, schema, connections };
      start = () => ours.tell({ command: 'start', ...where, ...what });
      group = () => removeGroup(arena);
    },
    begin: async () => start?.(),
    check: async () => ours.check(),
    async finish() {
      await ours.tell({ command: 'stop' });
      await group?.();
    },
  };
}

/** The next run begins at the topic's start again. */
async function removeGroup({ client }: Arena): Promise<void> {
  const admin = client.kafka.admin();
  await admin.connect();
  try {
    await admin.deleteGroups([client.physical(sinkGroup('postgres'))]);
  } finally {
    await admin.disconnect();
  }
}

/** The sink's own tables, in a new schema, the same for all. Debezium leaves out two columns that may then not be absent. */
async function makeTables(db: pg.Client, url: string, schema: string): Promise<void> {
  const config = postgresConfigSchema.parse({ url, schema });
  const deps = { logger: pino({ level: 'silent' }) };
  const sink = createPostgresSink(config, deps, [tableModel(TOPIC)]);
  await sink.open();
  await sink.close();
  await db.query(`ALTER TABLE ${schema}.${TABLE}
    ALTER deleted SET DEFAULT false, ALTER tags SET DEFAULT '{}'`);
}

async function fillTopic(environment: Environment, records: number): Promise<Work> {
  const { partitions, brokers, registryUrl } = environment;
  const arena = await environment.arena('contacts');
  const sink = { name: 'postgres', topics: [TOPIC] };
  const plans = planTopics([], [sink], partitions).filter(({ name }) => name.includes(TOPIC));
  const like = plans.find(({ name }) => name === TOPIC);
  if (like === undefined) throw new Error(`no plan of ${TOPIC}`);
  await ensureTopics(arena.client, [...plans, { ...like, name: KEYED }]);
  const registry = createSchemaRegistryClient(registryUrl);
  const [topic, keyed] = [arena.client.physical(TOPIC), arena.client.physical(KEYED)];
  const schemaId = await registry.register(`${topic}-value`, CONTACT_WITHOUT_TAGS);
  const keySchemaId = await registry.register(`${keyed}-key`, CONTACT_KEY);
  const contacts = Math.max(partitions, Math.round(records / VERSIONS));
  const lastIds = await fillContacts({ brokers, topic, schemaId }, contacts, VERSIONS);
  await fillContacts({ brokers, topic: keyed, schemaId, keySchemaId }, contacts, VERSIONS);
  return { arena, contacts, lastIds };
}

/** Polls `look` until it says so. @throws ReachflowError when the contestant has failed, or takes too long. */
async function awaitRows(contestant: Contestant, look: () => Promise<boolean>): Promise<number> {
  const until = performance.now() + RUN_TIMEOUT_MS;
  for (let looks = 1; !(await look()); looks += 1) {
    if (looks % LOOKS_PER_STATUS === 0) await contestant.check();
    if (performance.now() > until) {
      throw new ReachflowError(`${contestant.name} is not done after ${RUN_TIMEOUT_MS} ms`, {
        code: 'STALLED',
        domain: 'external',
      });
    }
    await delay(POLL_MS);
  }
  return performance.now();
}

/** The server's first process where it runs beside us, as an embedded one does. */
async function postmasterOf(db: pg.Client): Promise<number[]> {
  const { rows } = await db.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const parent = parentOf(rows[0]?.pid ?? -1, 'postgres');
  return parent === undefined ? [] : [parent];
}

async function measured(
  contestant: Contestant,
  work: Work,
  environment: Environment,
): Promise<Omit<Sample, 'contestant' | 'run'>> {
  const { url } = environment.stores.postgres;
  const schema = `bench_${randomBytes(4).toString('hex')}`;
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  const one = async (sql: string, values: unknown[] = []) => {
    const { rows } = await db.query<{ n: number }>(sql, values);
    return rows[0]?.n ?? 0;
  };
  const [table, records] = [`${schema}.${TABLE}`, work.contacts * VERSIONS];
  try {
    await makeTables(db, url, schema);
    await contestant.prepare(work, schema);
    try {
      const server = await postmasterOf(db);
      const [before, serverBefore] = [usageOf([contestant.pid]), usageOf(server)];
      const began = performance.now();
      await contestant.begin();
      const first = await awaitRows(
        contestant,
        async () =>
          (await one(`SELECT count(*)::integer AS n FROM (SELECT FROM ${table} LIMIT 1)`)) > 0,
      );
      const already = await one(`SELECT count(*)::integer AS n FROM ${table}`);
      const last = `SELECT count(*)::integer AS n FROM ${table} WHERE id = ANY($1) AND version = $2`;
      const end = await awaitRows(
        contestant,
        async () => (await one(last, [work.lastIds, VERSIONS])) === work.lastIds.length,
      );
      const [after, serverAfter] = [usageOf([contestant.pid]), usageOf(server)];
      const figures = {
        recordsPerSecond: ((records - already) / (end - first)) * 1_000,
        firstMs: first - began,
        wholePerSecond: (records / (end - began)) * 1_000,
        cpuPerMillion: ((after.cpuSeconds - before.cpuSeconds) / records) * 1e6,
        serverCpuPerMillion:
          server.length === 0
            ? Number.NaN
            : ((serverAfter.cpuSeconds - serverBefore.cpuSeconds) / records) * 1e6,
        peakMiB: after.peakMiB,
      };
      const rows = await one(`SELECT count(*)::integer AS n FROM ${table}`);
      const sum = await one(`SELECT sum(version)::integer AS n FROM ${table}`);
      return { figures, exact: rows === work.contacts && sum === work.contacts * VERSIONS };
    } finally {
      await contestant.finish();
    }
  } finally {
    await db.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await db.end();
  }
}

async function compare(environment: Environment, options: ScenarioOptions) {
  const { brokers, registryUrl, stores, partitions } = environment;
  const { onProgress, runs } = options;
  const directory = await environment.directory('connect');
  const worker = await ConnectWorker.start({ brokers, registryUrl, directory, onProgress });
  const ours = new OurProcess();
  const contestants = [
    reachflow(ours, environment, partitions),
    ...Object.entries(DEBEZIUM).map(([name, settings]) =>
      debezium(worker, name, settings, stores.postgres.url),
    ),
  ];
  const samples: Sample[] = [];
  const topics: Work[] = [];
  try {
    const warmUp = await fillTopic(environment, options.warmUp);
    topics.push(warmUp);
    const work = await fillTopic(environment, options.records);
    topics.push(work);
    for (const contestant of contestants) {
      onProgress(`warm-up: ${contestant.name} …`);
      await measured(contestant, warmUp, environment);
    }
    for (let run = 1; run <= runs; run += 1) {
      for (const contestant of contestants) {
        onProgress(`run ${run} of ${runs}: ${contestant.name} …`);
        const sample = await measured(contestant, work, environment);
        samples.push({ contestant: contestant.name, run, ...sample });
      }
    }
  } finally {
    ours.end();
    await worker.end();
    for (const { arena } of topics) await arena.remove();
  }
  return samples;
}

/** A full topic of contacts into a table: the sink behind its runner, against Debezium's JDBC sink connector. */
export const sinkJdbc: Scenario = {
  name: 'sink-jdbc',
  summary: "a topic into Postgres, against Debezium's JDBC sink, at its defaults and at its best",
  peers: false,
  defaults: { records: 200_000, warmUp: 40_000 },
  stores: ['postgres'],
  async run(environment, _contestants, options) {
    const samples = await compare(environment, options);
    return {
      columns: [
        { figure: 'recordsPerSecond', title: 'rows/s', digits: 0 },
        { figure: 'wholePerSecond', title: 'with start', digits: 0 },
        { figure: 'firstMs', title: 'first row, ms', digits: 0 },
        { figure: 'cpuPerMillion', title: 'CPU-s per M', digits: 1 },
        { figure: 'serverCpuPerMillion', title: 'server', digits: 1 },
        { figure: 'peakMiB', title: 'peak MiB', digits: 0 },
      ],
      samples,
      ratios: [
        ...ratiosTo(samples, 'recordsPerSecond', 'rows/s', 'more'),
        ...ratiosTo(samples, 'cpuPerMillion', 'CPU', 'less'),
      ],
    };
  },
};
