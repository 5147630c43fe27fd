import { Client } from '@elastic/elasticsearch';
import { pino } from 'pino';
import type { Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import {
  type ElasticsearchConfig,
  elasticsearchConfigSchema,
} from '../../sinks/elasticsearch/config.ts';
import { createElasticsearchSink } from '../../sinks/elasticsearch/sink.ts';
import { tableModel } from '../../sinks/fields.ts';
import { type Column, type Report, ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const columns: readonly Column[] = [
  { figure: 'recordsPerSecond', title: 'documents/s', digits: 0 },
  { figure: 'cpuPerMillion', title: 'our CPU-s per million', digits: 1 },
  { figure: 'serverCpuPerMillion', title: 'server CPU-s per million', digits: 1 },
];

/** Requests under way, and the size of one: the bulk helper's own defaults, for both. */
const CONCURRENCY = 5;
const BULK_BYTES = 5_000_000;
const BATCH_RECORDS = 5_000;
/** Every so many documents one comes again under an older version, which the server refuses. */
const STALE_EVERY = 20;

/** A contact of about 500 bytes as JSON; the same for the same number. */
function contactRecord(number: number, seed: number): SinkRecord {
  const stale = number > 0 && number % STALE_EVERY === 0;
  const id = `c-${stale ? number - 1 : number}`;
  const version = BigInt(stale ? 1 : 1_000 + number);
  const name = `Person ${(number * 7_919 + seed) % 100_003} of ${(number * 104_729 + seed) % 10_007}`;
  const value = {
    ...{ id, tenant_id: `tenant-${number % 50}`, full_name: name },
    ...{ email: `${id}@company-${number % 997}.example`, phone: `+4930${1_000_000 + number}` },
    ...{ company_id: String(number % 997), company: `Company ${number % 997} Limited` },
    ...{ company_domain: `company-${number % 997}.example`, industry: 'manufacturing' },
    ...{ tags: ['imported', `batch-${number % 10}`], score: (number % 100) / 100 },
    ...{ created_at: 1_767_225_600_000 + number, updated_at: 1_767_225_700_000 + number, version },
  };
  return {
    ...{ topic: 'contact.golden', partition: number % CONCURRENCY, offset: BigInt(number) },
    ...{ timestamp: 1_767_225_700_000, key: id, value, version },
  };
}

/** Documents that are to be there afterwards. */
function expectedDocuments(records: number): number {
  return records - Math.floor((records - 1) / STALE_EVERY);
}

function contactsSink(config: ElasticsearchConfig): Sink {
  const logger = pino({ level: 'silent' });
  return createElasticsearchSink(config, { logger }, [tableModel('contact.golden')]);
}

type Write = (records: readonly SinkRecord[]) => Promise<void>;

async function writeWithSink(url: string, indexPrefix: string, records: readonly SinkRecord[]) {
  const config = elasticsearchConfigSchema.parse({ url, indexPrefix, batchSize: BATCH_RECORDS });
  const sink = contactsSink(config);
  // Records of a partition follow one another, as the runner has them; partitions are written at the same time.
  const lanes = Array.from({ length: CONCURRENCY }, (_, partition) =>
    records.filter((record) => record.partition === partition),
  );
  await Promise.all(
    lanes.map(async (lane, partition) => {
      for (let from = 0; from < lane.length; from += BATCH_RECORDS) {
        const batch = lane.slice(from, from + BATCH_RECORDS);
        const answers = await sink.write({
          ...{ topic: 'contact.golden', partition, range: undefined, records: batch },
        });
        const bad = answers.find(({ status }) => status !== 'delivered');
        if (bad !== undefined) throw new Error(`not delivered: ${JSON.stringify(bad)}`);
      }
    }),
  );
  await sink.close();
}

async function writeWithHelper(client: Client, index: string, records: readonly SinkRecord[]) {
  // It serializes with JSON.stringify, which takes no bigint: versions are small enough here.
  const documents = records.map(({ value, version }) => ({ ...value, version: Number(version) }));
  await client.helpers.bulk<{ id?: string; version: number }>({
    ...{ datasource: documents, flushBytes: BULK_BYTES, concurrency: CONCURRENCY, retries: 0 },
    onDocument: (document) => ({
      index: {
        ...{ _index: index, _id: String(document.id) },
        ...{ version: document.version, version_type: 'external' },
      },
    }),
    onDrop: ({ status, error }) => {
      // 409: a newer version is there.
      if (status !== 409) throw new Error(`not delivered: ${JSON.stringify(error)}`);
    },
  });
}

async function serverCpuSeconds(client: Client): Promise<number> {
  const { nodes } = await client.nodes.stats({ metric: 'process' });
  const millis = Object.values(nodes).map(({ process }) => process?.cpu?.total_in_millis ?? 0);
  return millis.reduce((sum, one) => sum + one, 0) / 1_000;
}

/** Writes into a fresh index, made by the sink's `open` for both, and counts what is there. */
async function measureOne(
  url: string,
  contestant: { readonly name: string; readonly helper: boolean },
  records: readonly SinkRecord[],
  run: number,
): Promise<Sample> {
  const client = new Client({ node: url, maxRetries: 0, requestTimeout: 120_000 });
  const indexPrefix = `bench-${Date.now()}-`;
  const config = elasticsearchConfigSchema.parse({ url, indexPrefix });
  const opener = contactsSink(config);
  const index = `${indexPrefix}contacts`;
  try {
    await opener.open();
    const write: Write = contestant.helper
      ? (all) => writeWithHelper(client, index, all)
      : (all) => writeWithSink(url, indexPrefix, all);
    const server = await serverCpuSeconds(client);
    const own = process.cpuUsage();
    const began = performance.now();
    await write(records);
    const seconds = (performance.now() - began) / 1_000;
    const { user, system } = process.cpuUsage(own);
    const serverSeconds = (await serverCpuSeconds(client)) - server;
    await client.indices.refresh({ index });
    const { count } = await client.count({ index });
    const expected = expectedDocuments(records.length);
    const perMillion = 1e6 / records.length;
    return {
      ...{ contestant: contestant.name, run, exact: count === expected },
      ...(count === expected ? {} : { detail: `${count} documents, not ${expected}` }),
      figures: {
        recordsPerSecond: records.length / seconds,
        cpuPerMillion: ((user + system) / 1e6) * perMillion,
        serverCpuPerMillion: serverSeconds * perMillion,
      },
    };
  } finally {
    await opener.close();
    await client.indices.delete({ index: `${index}-v1`, ignore_unavailable: true });
    await client.indices.deleteIndexTemplate({ name: `${indexPrefix}*` });
    await client.close();
  }
}

/** The sink against the client's bulk helper: same documents, versions, requests at a time. @param url of the cluster. */
async function compareElasticsearch(
  url: string,
  { records, runs, warmUp, seed, onProgress }: Omit<ScenarioOptions, 'keys'>,
): Promise<Omit<Report, 'scenario' | 'options'>> {
  const contestants = [
    { name: 'reachflow sink', helper: false },
    { name: 'bulk helper', helper: true },
  ];
  const documents = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => contactRecord(from + i, seed));
  for (const contestant of warmUp > 0 ? contestants : []) {
    onProgress(`warm-up: ${contestant.name} …`);
    await measureOne(url, contestant, documents(0, warmUp), 0);
  }
  const samples: Sample[] = [];
  for (let run = 1; run <= runs; run += 1) {
    // Each goes first in turn: the second finds the server as the first has left it.
    for (const contestant of run % 2 === 1 ? contestants : contestants.toReversed()) {
      onProgress(`run ${run} of ${runs}: ${contestant.name} …`);
      samples.push(await measureOne(url, contestant, documents(0, records), run));
    }
  }
  const sorted = samples.toSorted((a, b) => b.contestant.localeCompare(a.contestant));
  return {
    ...{ columns, samples: sorted },
    ratios: [
      ...ratiosTo(sorted, 'recordsPerSecond', 'documents/s', 'more'),
      ...ratiosTo(sorted, 'cpuPerMillion', 'CPU', 'less'),
    ],
  };
}

/** The sink against its client's helper, the same documents. Needs no broker. */
export const elasticsearchSink: Scenario = {
  name: 'sink-elasticsearch',
  summary: 'the Elasticsearch sink against the bulk helper of its client',
  peers: false,
  defaults: { records: 100_000, warmUp: 20_000 },
  stores: ['elasticsearch'],
  run: ({ stores }, _contestants, options) =>
    compareElasticsearch(stores.elasticsearch.url, options),
};
