import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { heapFlags } from '../../cli/workers/memory.ts';
import { signHmac } from '../../connectors/webhook/schemes/hmac.ts';
import { type ProductProcess, startProductProcess } from '../../demo/product.ts';
import { PROVE_SOURCE, proveSources } from '../../prove/load/webhook-load.ts';
import { allocatorEnvironment } from '../../runtime/process-memory.ts';
import type { Environment } from '../harness/environment.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const RECORDS_PER_SECOND = 300;
const ENTITIES = 100;
const DATABASE = 'reachflow_bench_freshness';
const MEMORY_MB = 512;
/** Between looks into the table; what a look takes counts, too. */
const LOOK_MS = 50;
/** How long the last row may take, ms. */
const TAIL_MS = 15_000;
const CLI = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
export const PERCENTILES = { p50: 0.5, p95: 0.95, p99: 0.99, max: 1 } as const;

interface Row {
  readonly id: string;
  readonly at: string;
  readonly partition: number;
  readonly position: string;
}

/**
 * Sends one webhook after the other at a fixed rate; a late one does not delay those that follow.
 * @param onSend when each is sent, `Date.now()`. @returns ids of the events that were accepted.
 */
export async function send(
  { webhookUrl }: ProductProcess,
  secret: string,
  label: string,
  records: number,
  { perSecond = RECORDS_PER_SECOND, onSend = (_at: number) => undefined as unknown } = {},
): Promise<Set<string>> {
  const accepted = new Set<string>();
  const began = performance.now();
  const waiting: Promise<void>[] = [];
  const post = async (deliveryId: string, number: number) => {
    const at = new Date().toISOString();
    onSend(Date.parse(at));
    const entity = `e${number % ENTITIES}`;
    const body = JSON.stringify({ type: 'bench.tick', tenant: 'bench', entity, seq: number, at });
    const signing = { secret, deliveryId, eventType: 'bench.tick', timestampMs: Date.now(), body };
    const response = await fetch(`${webhookUrl}/webhooks/ingest/${PROVE_SOURCE}`, {
      ...{ method: 'POST', headers: signHmac(signing), body },
    });
    await response.arrayBuffer();
    if (response.status === 202) accepted.add(`${PROVE_SOURCE}:${deliveryId}`);
  };
  for (let number = 0; number < records; number += 1) {
    await delay(Math.max(0, began + (number * 1_000) / perSecond - performance.now()));
    waiting.push(post(`${label}-${number}`, number).catch(() => undefined));
  }
  await Promise.all(waiting);
  return accepted;
}

/** Looks into the table again and again: how old each row is when it is seen first, ms. */
class Watcher {
  readonly ages = new Map<string, number>();
  rows = 0;
  readonly #client: ClickHouseClient;
  readonly #next = new Map<number, bigint>();
  readonly #ended = new AbortController();
  readonly #looking: Promise<void>;

  constructor(client: ClickHouseClient, partitions: number) {
    this.#client = client;
    for (let partition = 0; partition < partitions; partition += 1) this.#next.set(partition, 0n);
    this.#looking = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      await this.#look();
      await delay(LOOK_MS, undefined, { signal: this.#ended.signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    const news = [...this.#next].map(
      ([partition, next]) => `(_topic_partition = ${partition} AND _offset >= ${next})`,
    );
    const result = await this.#client.query({
      query: `SELECT event_id AS id, toUnixTimestamp64Milli(received_at) AS at, _topic_partition AS partition,
              _offset AS position FROM ${DATABASE}.events WHERE ${news.join(' OR ')}`,
      format: 'JSONEachRow',
    });
    const rows = await result.json<Row>();
    const now = Date.now();
    for (const { id, at, partition, position } of rows) {
      this.rows += 1;
      if (!this.ages.has(id)) this.ages.set(id, now - Number(at));
      const next = BigInt(position) + 1n;
      if (next > (this.#next.get(partition) ?? 0n)) this.#next.set(partition, next);
    }
  }

  /** @throws what a look threw. */
  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#looking;
  }
}

/** The product in a namespace and database of its own. */
export function productEnvironment(
  { brokers, registryUrl, partitions, stores }: Environment,
  namespace: string,
  directory: string,
  secret: string,
  database = DATABASE,
): Record<string, string> {
  const { url, username, password } = stores.clickhouse;
  return {
    REACHFLOW_KAFKA_BROKERS: JSON.stringify(brokers),
    REACHFLOW_KAFKA_NAMESPACE: namespace,
    REACHFLOW_KAFKA_PARTITIONS: String(partitions),
    REACHFLOW_REGISTRY_URL: registryUrl,
    REACHFLOW_CLICKHOUSE_URL: url,
    REACHFLOW_CLICKHOUSE_USERNAME: username,
    REACHFLOW_CLICKHOUSE_PASSWORD: password,
    REACHFLOW_CLICKHOUSE_DATABASE: database,
    REACHFLOW_STATE_DIR: join(directory, 'state'),
    REACHFLOW_CHECKPOINT_DIRECTORY: join(directory, 'checkpoints'),
    REACHFLOW_WEBHOOK_PORT: '0',
    REACHFLOW_OBSERVABILITY_PORT: '0',
    REACHFLOW_WEBHOOK_SOURCES: JSON.stringify(proveSources(secret)),
  };
}

/** Percentiles of ages, ms. */
export function figuresOf(ages: readonly number[]): Record<string, number> {
  const sorted = ages.toSorted((a, b) => a - b);
  return Object.fromEntries(
    Object.entries(PERCENTILES).map(([name, share]) => [
      name,
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN,
    ]),
  );
}

async function measured(
  environment: Environment,
  admin: ClickHouseClient,
  run: number,
  { records, warmUp }: ScenarioOptions,
): Promise<Sample> {
  await admin.command({ query: `DROP DATABASE IF EXISTS ${DATABASE} SYNC` });
  const arena = await environment.arena('freshness');
  const directory = await environment.directory('freshness');
  const secret = randomBytes(24).toString('hex');
  const product = await startProductProcess({
    cliPath: CLI,
    args: ['--only', 'webhook,events,clickhouse'],
    execArgv: heapFlags(MEMORY_MB),
    env: {
      ...allocatorEnvironment(),
      ...productEnvironment(environment, arena.name, directory, secret),
    },
    logFile: join(directory, 'reachflow.log'),
  });
  try {
    await send(product, secret, 'warm-up', warmUp);
    const watcher = new Watcher(admin, environment.partitions);
    const accepted = await send(product, secret, 'run', records);
    const seen = () => [...accepted].filter((id) => watcher.ages.has(id));
    const until = performance.now() + TAIL_MS;
    while (seen().length < accepted.size && performance.now() < until) await delay(LOOK_MS);
    await watcher.stop();
    const ages = seen().map((id) => watcher.ages.get(id) ?? Number.NaN);
    const isWhole = accepted.size === records && ages.length === records;
    return {
      contestant: 'clickhouse',
      run,
      figures: figuresOf(ages),
      exact: isWhole && watcher.rows === watcher.ages.size,
      detail: `${records} sent, ${accepted.size} accepted, ${ages.length} seen`,
    };
  } finally {
    await product.stop();
    await arena.remove();
    await admin.command({ query: `DROP DATABASE IF EXISTS ${DATABASE} SYNC` });
  }
}

/** The whole way of a webhook, in one process of `reachflow run`, with every setting at its default. */
export const freshness: Scenario = {
  name: 'freshness',
  summary: 'from a webhook that is received to its row in ClickHouse, at 300 a second',
  peers: false,
  defaults: { records: 9_000, warmUp: 1_500 },
  stores: ['clickhouse'],
  async run(environment, _contestants, options) {
    const { url, username, password } = environment.stores.clickhouse;
    const log = { level: ClickHouseLogLevel.OFF };
    const admin = createClient({ url, username, password, log, request_timeout: 120_000 });
    const samples: Sample[] = [];
    for (let run = 1; run <= options.runs; run += 1) {
      options.onProgress(`run ${run} of ${options.runs} …`);
      samples.push(await measured(environment, admin, run, options));
    }
    await admin.close();
    const columns = Object.keys(PERCENTILES).map((name) => ({
      ...{ figure: name, title: `${name.toUpperCase()} ms`, digits: 0 },
    }));
    return { columns, samples, ratios: [] };
  },
};
