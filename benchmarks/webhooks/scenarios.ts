import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ReachflowError } from '../../runtime/errors.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { type Column, figureOf, type Sample } from '../harness/report.ts';
import type { Scenario } from '../harness/scenario.ts';
import { usageOf } from '../harness/usage.ts';
import { bareGo, camel, type Ingestor, type IngestorKind, ours } from './ingestors.ts';
import type { LoadOptions, LoadResult } from './load.ts';

/** What is wanted: docs of the scenarios in ../README.md. */
const FLOOR_PER_SECOND = 1_000;
const SLO_MS = 100;
const LEAST_ACCEPTED_PERCENT = 95;
const CPU_TARGETS = { go: 1, camel: 2 } as const;
const SENDER: Column = { figure: 'sender', title: "sender's cores", digits: 2 };
const CONNECTIONS = 64;
const BYTES = 1_024;
const LOAD = join(import.meta.dirname, 'load.ts');

type Shape = Omit<LoadOptions, 'url' | 'secret' | 'bytes'>;

async function load(ingestor: Ingestor, secret: string, shape: Shape): Promise<LoadResult> {
  const options: LoadOptions = { url: ingestor.url, secret, bytes: BYTES, ...shape };
  const args = [LOAD, JSON.stringify(options)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as LoadResult;
}

const accepted = ({ statuses }: LoadResult): number => statuses['202'] ?? 0;
const total = ({ statuses }: LoadResult): number =>
  Object.values(statuses).reduce((sum, count) => sum + count, 0);

async function stored(arena: Arena): Promise<number> {
  let records = 0;
  await readTopic(arena.client, {
    topic: 'webhook.received',
    onRecord: () => {
      records += 1;
    },
  });
  return records;
}

/** Starts an ingestor on topics of its own, and ends it. */
async function withIngestor<T>(
  environment: Environment,
  kind: IngestorKind,
  work: (ingestor: Ingestor, secret: string, arena: Arena) => Promise<T>,
): Promise<T> {
  const arena = await environment.arena('webhooks');
  const secret = randomBytes(24).toString('hex');
  const ingestor = await kind.start(environment, arena, secret);
  try {
    return await work(ingestor, secret, arena);
  } finally {
    await ingestor.stop();
    await arena.remove();
  }
}

/** @throws ReachflowError `PEER_FAILED` when it takes what is not signed: it would not do the same work. */
async function expectRefusal(kind: IngestorKind, ingestor: Ingestor): Promise<void> {
  const shape = { connections: 1, requests: 1, run: 'unsigned' };
  const { statuses } = await load(ingestor, 'another secret', shape);
  if (statuses['401'] === 1) return;
  throw new ReachflowError(
    `${kind.name} answers a wrong signature so: ${JSON.stringify(statuses)}`,
    {
      code: 'PEER_FAILED',
      domain: 'internal',
    },
  );
}

/** As many requests as 64 connections get answered, against a bare ingestor and Apache Camel. */
export const webhooks: Scenario = {
  name: 'webhooks',
  summary: 'signed webhooks of 1 KB over 64 connections, acks=all, against Go and Apache Camel',
  peers: false,
  // Camel's code is compiled for its first 50,000 requests or so.
  defaults: { records: 50_000, warmUp: 80_000 },
  async run(environment, _contestants, { records, warmUp, runs, onProgress }) {
    const samples: Sample[] = [];
    const kinds = [ours, await bareGo(onProgress), await camel(onProgress)];
    for (let run = 1; run <= runs; run += 1) {
      for (const kind of kinds) {
        onProgress(`run ${run} of ${runs}: ${kind.name} …`);
        samples.push(
          await withIngestor(environment, kind, async (ingestor, secret, arena) => {
            const shape = { connections: CONNECTIONS };
            await expectRefusal(kind, ingestor);
            const warm = await load(ingestor, secret, { ...shape, requests: warmUp, run: 'w' });
            const before = usageOf([ingestor.pid]);
            const result = await load(ingestor, secret, { ...shape, requests: records, run: 'r' });
            const after = usageOf([ingestor.pid]);
            const figures = {
              perSecond: accepted(result) / result.seconds,
              p50: result.p50,
              p99: result.p99,
              cpu: ((after.cpuSeconds - before.cpuSeconds) / records) * 10_000,
              resident: after.residentMiB,
              sender: result.cores,
            };
            const exact = (await stored(arena)) === accepted(warm) + accepted(result);
            const detail = JSON.stringify(result.statuses);
            return { contestant: kind.name, run, figures, exact, detail };
          }),
        );
      }
    }
    const columns = [
      { figure: 'perSecond', title: 'requests/s', digits: 0 },
      { figure: 'p50', title: 'p50 ms', digits: 1 },
      { figure: 'p99', title: 'p99 ms', digits: 1 },
      { figure: 'cpu', title: 'CPU-s per 10 K', digits: 2 },
      { figure: 'resident', title: 'resident MiB', digits: 0 },
      SENDER,
    ];
    const median = (name: string, figure: string) => figureOf(samples, name, figure).median;
    const [rate, p99] = [median('reachflow', 'perSecond'), median('reachflow', 'p99')];
    const ratios = [
      ...(['go', 'camel'] as const).flatMap((peer) => [
        {
          name: `requests per CPU-second, reachflow / ${peer}`,
          value: median(peer, 'cpu') / median('reachflow', 'cpu'),
          target: CPU_TARGETS[peer],
        },
        {
          name: `requests per second, reachflow / ${peer}`,
          value: rate / median(peer, 'perSecond'),
        },
      ]),
      { name: 'requests per second / the floor', value: rate / FLOOR_PER_SECOND, target: 1 },
      { name: `${SLO_MS} ms / p99`, value: SLO_MS / p99, target: 1 },
    ];
    return { columns, samples, ratios };
  },
};

const SURGE_SECONDS = 30;
const USUAL_SECONDS = 10;

/** The floor's rate, ten times as much for 30 s, then the usual again. */
export const surge: Scenario = {
  name: 'webhooks-surge',
  summary: '1,000 webhooks/s, ten times as many for 30 s over 512 connections, then 1,000 again',
  peers: false,
  defaults: { records: FLOOR_PER_SECOND, warmUp: 20_000, runs: 1 },
  async run(environment, _contestants, { records: rate, warmUp, runs, onProgress }) {
    const samples: Sample[] = [];
    for (let run = 1; run <= runs; run += 1) {
      onProgress(`run ${run} of ${runs} …`);
      samples.push(
        await withIngestor(environment, ours, async (ingestor, secret, arena) => {
          const few = { connections: CONNECTIONS };
          const many = { connections: 512, seconds: SURGE_SECONDS, rate: rate * 10 };
          const send = (run: string, shape: Omit<Shape, 'run'>) =>
            load(ingestor, secret, { ...shape, run });
          const usual = { ...few, requests: rate * USUAL_SECONDS, rate };
          const warm = await send('w', { ...few, requests: warmUp });
          const before = await send('a', usual);
          const { cpuSeconds: atStart } = usageOf([ingestor.pid]);
          const surged = await send('b', { ...many, requests: rate * 10 * SURGE_SECONDS });
          const used = usageOf([ingestor.pid]).cpuSeconds - atStart;
          const after = await send('c', usual);
          const figures = {
            before: before.p95,
            during: surged.p95,
            after: after.p95,
            perSecond: accepted(surged) / surged.seconds,
            refused: (1 - accepted(surged) / total(surged)) * 100,
            cpu: (used / accepted(surged)) * 10_000,
            sender: surged.cores,
          };
          const sum = [warm, before, surged, after].reduce((n, phase) => n + accepted(phase), 0);
          const exact = (await stored(arena)) === sum;
          return { contestant: 'reachflow', run, figures, exact, detail: JSON.stringify(surged) };
        }),
      );
    }
    const columns = [
      { figure: 'before', title: 'p95 ms before', digits: 1 },
      { figure: 'during', title: 'p95 ms in it', digits: 0 },
      { figure: 'after', title: 'p95 ms in the 10 s after', digits: 1 },
      { figure: 'perSecond', title: 'requests/s in it', digits: 0 },
      { figure: 'refused', title: '% refused', digits: 2 },
      { figure: 'cpu', title: 'CPU-s per 10 K in it', digits: 2 },
      SENDER,
    ];
    const median = (figure: string) => figureOf(samples, 'reachflow', figure).median;
    const ratios = [
      { name: `${SLO_MS} ms / p95 after`, value: SLO_MS / median('after'), target: 1 },
      {
        name: `accepted in it / ${LEAST_ACCEPTED_PERCENT} %`,
        value: (100 - median('refused')) / LEAST_ACCEPTED_PERCENT,
        target: 1,
      },
    ];
    return { columns, samples, ratios };
  },
};
