import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { inferSchema, initParser, type Parser } from 'udsv';
import { importFile, prepareImports } from '../../connectors/file/import-file.ts';
import type { ImportDeps } from '../../connectors/file/import-options.ts';
import { importMapSchema } from '../../connectors/file/map.ts';
import { PositionedProducer } from '../../runtime/kafka/positioned-producer.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { TopicCodec } from '../../schemas/codec.ts';
import { createSchemaRegistryClient } from '../../schemas/registry.ts';
import type { Environment } from '../harness/environment.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const TOPIC = 'file.row.received';
const HEADINGS = 'id,full_name,email,phone,company,title,city,created_at,notes\n';
const NAMES = ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Łukasz', 'Zoë'];
const EPOCH_BYTES = 8_388_608;
const WRITE_ROWS = 2_000;

/** A contact of ~145 bytes: quotes, other scripts and commas in cells, as exports have them. */
function rowOf(n: number): string {
  const name = NAMES[n % NAMES.length] ?? '';
  const notes = n % 10 === 0 ? '"said ""hello"" once"' : 'met at the fair';
  const day = `2026-0${1 + (n % 9)}-1${n % 10}T0${n % 10}:00:00Z`;
  return `${n},${name} Turing,user${n}@example${n % 1_000}.com,+4930${1_000_000 + (n % 9_000_000)},"${name}, Sons & Daughters",Head of Research,Berlin,${day},${notes}\n`;
}

async function writeInput(path: string, rows: number): Promise<number> {
  const handle = await open(path, 'w');
  try {
    await handle.write(HEADINGS);
    for (let n = 1; n <= rows; n += WRITE_ROWS) {
      const count = Math.min(WRITE_ROWS, rows - n + 1);
      await handle.write(Array.from({ length: count }, (_, i) => rowOf(n + i)).join(''));
    }
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

type Contestant = readonly [
  name: string,
  /** Resolves when all rows are committed. Undefined rows: it writes none. */
  work: (deps: ImportDeps, path: string, directory: string) => Promise<number | undefined>,
];

const base = { source: 'bench', tenant: 'acme', key: ['id'], eventType: 'contact' };
const asTheyAre = importMapSchema.parse(base);
const typed = importMapSchema.parse({
  ...base,
  occurredAt: { column: 'created_at' },
  fields: {
    id: { column: 'id', type: 'integer' },
    name: 'full_name',
    email: { column: 'email', type: 'email' },
    phone: { column: 'phone', type: 'phone' },
    company: 'company',
    created_at: { column: 'created_at', type: 'timestamp' },
  },
});

async function ours(
  deps: ImportDeps,
  path: string,
  directory: string,
  map: typeof typed,
): Promise<number> {
  const { rows } = await importFile(deps, { path, map, directory, maxRejects: 0 });
  return rows;
}

/** Chunks of a file through another parser, as arrays of text. */
async function parsed(
  path: string,
  onRow: (cells: string[]) => void,
  onChunk: () => Promise<void>,
): Promise<void> {
  let parser: Parser | undefined;
  for await (const text of createReadStream(path, { encoding: 'utf8', highWaterMark: 262_144 })) {
    const chunk = String(text);
    parser ??= initParser(inferSchema(chunk));
    // It says when to keep a row: never.
    parser.chunk<string[]>(chunk, parser.stringArrs as never, (row) => onRow(row));
    await onChunk();
  }
  parser?.end();
}

/** What a person writes with a fast parser and our producer: an object and a JSON text per row, no checks. */
async function bare({ client, codec }: ImportDeps, path: string): Promise<number> {
  const producer = await PositionedProducer.open(client, { name: 'bench.bare', topic: TOPIC });
  await producer.prepare([TOPIC]);
  let batches = producer.begin();
  let rows = 0;
  const names = HEADINGS.trim().split(',');
  const now = Date.now();
  const common = {
    import_id: 'bare',
    source: 'file:bench',
    file: 'bench.csv',
    event_type: 'contact',
    received_at: now,
  };
  const commit = async () => {
    await producer.commit(batches, { next: BigInt(rows), metadata: '' });
    batches = producer.begin();
  };
  await parsed(
    path,
    (cells) => {
      rows += 1;
      const payload = JSON.stringify(Object.fromEntries(names.map((name, i) => [name, cells[i]])));
      const entity_id = cells[0] ?? '';
      const key = `acme:${entity_id}`;
      const value = {
        ...common,
        tenant_id: 'acme',
        row: rows,
        entity_id,
        occurred_at: null,
        payload,
      };
      batches.append(
        TOPIC,
        producer.partitionFor(TOPIC, key),
        key,
        codec.encode(TOPIC, value),
        now,
      );
    },
    async () => {
      if (batches.bytes >= EPOCH_BYTES) await commit();
    },
  );
  await commit();
  await producer.close();
  return rows;
}

const contestants: readonly Contestant[] = [
  ['reachflow', (deps, path, directory) => ours(deps, path, directory, asTheyAre)],
  ['reachflow, 6 typed fields', (deps, path, directory) => ours(deps, path, directory, typed)],
  ['uDSV and our producer', bare],
  [
    'uDSV, parsing alone',
    async (_deps, path) => {
      await parsed(
        path,
        () => undefined,
        () => Promise.resolve(),
      );
      return undefined;
    },
  ],
];

async function measure(
  environment: Environment,
  [contestant, work]: Contestant,
  run: number,
  { path, bytes, rows }: { path: string; bytes: number; rows: number },
): Promise<Sample> {
  const arena = await environment.arena('import');
  const directory = await environment.directory('import');
  const { client } = arena;
  const codec = new TopicCodec(
    createSchemaRegistryClient(environment.registryUrl),
    client.physical,
  );
  const deps = { client, codec, logger: environment.logger };
  try {
    await prepareImports(deps);
    const [cpu, began] = [process.cpuUsage(), performance.now()];
    const written = await work(deps, path, directory);
    const seconds = (performance.now() - began) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    let found = 0;
    if (written !== undefined)
      await readTopic(client, {
        topic: TOPIC,
        onRecord: () => {
          found += 1;
        },
      });
    const megabytes = bytes / 1e6;
    const figures = {
      perSecond: megabytes / seconds,
      perCpuSecond: (megabytes * 1e6) / (user + system),
    };
    return {
      contestant,
      run,
      figures,
      ...(written === undefined ? {} : { exact: found === rows }),
    };
  } finally {
    await arena.remove();
  }
}

async function runImport(
  environment: Environment,
  { records, runs, warmUp, onProgress }: ScenarioOptions,
) {
  const directory = await environment.directory('import-input');
  const inputs = [];
  for (const rows of [warmUp, records]) {
    const path = join(directory, `${rows}.csv`);
    inputs.push({ path, rows, bytes: await writeInput(path, rows) });
  }
  const [warm, input] = inputs;
  if (warm === undefined || input === undefined) throw new Error('no input');
  for (const contestant of contestants) await measure(environment, contestant, 0, warm);
  const samples: Sample[] = [];
  for (let run = 1; run <= runs; run += 1) {
    for (const contestant of contestants) {
      onProgress(`run ${run} of ${runs}: ${contestant[0]} …`);
      samples.push(await measure(environment, contestant, run, input));
    }
  }
  return {
    columns: [
      { figure: 'perSecond', title: 'MB/s', digits: 1 },
      { figure: 'perCpuSecond', title: 'MB per CPU-s', digits: 1 },
    ],
    samples,
    ratios: ratiosTo(samples, 'perCpuSecond', 'MB per CPU-second', 'more'),
  };
}

/** A CSV file of contacts into its topic, exactly once, against what a fast parser makes possible. */
export const importCsv: Scenario = {
  name: 'import',
  summary: 'a CSV file into its topic: the whole import, against a fast parser with our producer',
  peers: false,
  defaults: { records: 700_000, warmUp: 100_000 },
  run: (environment, _contestants, options) => runImport(environment, options),
};
