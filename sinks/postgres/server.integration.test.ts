import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultCacheDir } from '../../compose/config.ts';
import { stackLayout } from '../../compose/embedded/layout.ts';
import { isAlive, signalProcess } from '../../compose/embedded/process-identity.ts';
import { readProcessNow } from '../../compose/embedded/state.ts';
import { resetStack, upStack } from '../../compose/stack.ts';
import type { Sink, SinkRecord } from '../../runtime/delivery/sink.ts';
import { errorCode } from '../../runtime/errors.ts';
import { contactRecord } from '../fixtures.ts';
import { postgresConfigSchema } from './config.ts';
import { createPostgresSink } from './sink.ts';

const TOPIC = 'contact.golden';
const BATCH = 100;
const PARTITIONS = 3;
/** Nothing here waits for a time; this ends a test that hangs. */
const PATIENCE_MS = 120_000;

/** A server of our own: the one of the other tests must not be killed. */
let dir: string;
let url: string;

async function startServer(): Promise<string> {
  const stack = await upStack({
    ...{ engine: 'embedded', dir, components: ['postgres'], onProgress: () => undefined },
    cacheDir: process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir(),
  });
  return stack.endpoints.postgres.url;
}

/** `kill -9` of the server, and the end of its process. */
async function killServer(): Promise<void> {
  const server = readProcessNow(stackLayout(dir), 'postgres');
  if (server === undefined) throw new Error('no server runs');
  signalProcess(server, 'SIGKILL');
  await until(() => !isAlive(server));
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reachflow-sink-postgres-'));
  // As root, Postgres runs as another user, who must get in to keep its data here.
  await chmod(dir, 0o711);
  url = await startServer();
}, PATIENCE_MS);

afterAll(async () => {
  await resetStack(dir);
  await rm(dir, { recursive: true, force: true });
}, PATIENCE_MS);

interface Progress {
  /** Offset up to which the sink said delivered. */
  delivered: number;
  /** Answers that the store could take nothing. */
  sick: number;
}

/** As the runner does, until stopped: the same batch again while the store is sick, from its position when fenced. */
async function deliver(
  sink: Sink,
  partition: number,
  progress: Progress,
  stop: AbortSignal,
): Promise<void> {
  let epoch: bigint | undefined;
  let start = 0;
  while (!stop.aborted) {
    try {
      if (epoch === undefined) {
        const claim = await sink.claim?.(TOPIC, partition);
        if (claim === undefined) throw new Error('the sink keeps no positions');
        epoch = claim.epoch;
        start = Number(claim.position ?? 0n);
        expect(start).toBeGreaterThanOrEqual(progress.delivered);
      }
      const records = Array.from({ length: BATCH }, (_, i): SinkRecord => {
        const offset = start + i;
        return {
          ...contactRecord(`${partition}-${offset}`, 1n),
          partition,
          offset: BigInt(offset),
        };
      });
      const range = { epoch, start: BigInt(start), end: BigInt(start + BATCH), origin: '' };
      const [result] = await sink.write({ topic: TOPIC, partition, range, records });
      if (result?.status === 'delivered') {
        start += BATCH;
        progress.delivered = start;
        continue;
      }
      expect(result).toMatchObject({ status: 'retry', of: 'store' });
    } catch (error) {
      const code = errorCode(error);
      expect(['POSTGRES_UNAVAILABLE', 'POSTGRES_REFUSED', 'SINK_FENCED']).toContain(code);
      epoch = undefined;
    }
    progress.sick += 1;
    await sleep(50);
  }
}

async function until(condition: () => boolean): Promise<void> {
  const limit = Date.now() + PATIENCE_MS;
  while (!condition() && Date.now() < limit) await sleep(10);
  expect(condition()).toBe(true);
}

interface Counted {
  readonly partition: number;
  readonly position: number;
  readonly rows: number;
}

/** The position of each partition, and how many of its contacts there are. */
async function counted(schema: string): Promise<Counted[]> {
  const db = new pg.Client({ connectionString: url });
  await db.connect();
  try {
    const { rows } = await db.query<Counted>(
      `SELECT p.partition, p.next_offset::integer AS position, count(c.id)::integer AS rows
       FROM ${schema}.reachflow_positions p
       LEFT JOIN ${schema}.contacts c ON split_part(c.id, '-', 1)::integer = p.partition
       GROUP BY 1, 2 ORDER BY 1`,
    );
    return rows;
  } finally {
    await db.end();
  }
}

/** A worker process on its own, killed once each partition has got on; returns what it said was delivered. */
async function workAndDie(schema: string, from: readonly number[]): Promise<number[]> {
  const script = fileURLToPath(new URL('./testing/write-forever.ts', import.meta.url));
  const args = [script, url, schema, String(PARTITIONS)];
  const worker = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(worker, 'exit');
  const delivered = [...from];
  createInterface({ input: worker.stdout }).on('line', (said) => {
    const [partition, end] = said.split(' ').map(Number);
    if (partition !== undefined && end !== undefined) delivered[partition] = end;
  });
  try {
    await until(() => delivered.every((end, i) => end >= (from[i] ?? 0) + 1_000));
  } finally {
    worker.kill('SIGKILL');
    await ended;
  }
  return delivered;
}

describe('a worker that is killed in the middle of batches', () => {
  it(
    'is followed by one that goes on from its rows: none is missing, none stands alone',
    async () => {
      const schema = 'worker_killed';
      let delivered = Array.from({ length: PARTITIONS }, () => 0);
      for (let kill = 0; kill < 3; kill += 1) {
        delivered = await workAndDie(schema, delivered);
        // The server notices the end of a connection, and ends what was under way there, in its own time.
        const sink = createPostgresSink(postgresConfigSchema.parse({ url, schema }), {
          logger: pino({ level: 'silent' }),
        });
        for (let partition = 0; partition < PARTITIONS; partition += 1) {
          const claim = await sink.claim?.(TOPIC, partition);
          expect(Number(claim?.position)).toBeGreaterThanOrEqual(delivered[partition] ?? 0);
          delivered[partition] = Number(claim?.position);
        }
        await sink.close();
        const rows = delivered.map((position, partition) => ({
          partition,
          position,
          rows: position,
        }));
        expect(await counted(schema)).toEqual(rows);
      }
    },
    PATIENCE_MS,
  );
});

describe('a server that is killed in the middle of batches', () => {
  it(
    'has each record once after it is back, and no position without its rows',
    async () => {
      const schema = 'killed';
      const sink = createPostgresSink(
        postgresConfigSchema.parse({ url, schema, statementTimeoutMs: 5_000 }),
        { logger: pino({ level: 'silent' }) },
      );
      await sink.open();
      const stop = new AbortController();
      const all = Array.from({ length: PARTITIONS }, (): Progress => ({ delivered: 0, sick: 0 }));
      const working = all.map((progress, partition) =>
        deliver(sink, partition, progress, stop.signal),
      );
      for (let kill = 0; kill < 2; kill += 1) {
        const before = all.map(({ delivered }) => delivered);
        await until(() =>
          all.every(({ delivered }, i) => delivered >= (before[i] ?? 0) + 5 * BATCH),
        );
        const sick = all.map((progress) => progress.sick);
        await killServer();
        // Down for a while: everybody has tried in vain, more than once.
        await until(() => all.every((progress, i) => progress.sick >= (sick[i] ?? 0) + 3));
        await startServer();
      }
      const after = all.map(({ delivered }) => delivered);
      await until(() => all.every(({ delivered }, i) => delivered > (after[i] ?? 0)));
      stop.abort();
      await Promise.all(working);
      await sink.close();

      const rows = await counted(schema);
      const expected = all.map(({ delivered }, partition) => {
        const position = delivered;
        return { partition, position, rows: position };
      });
      expect(rows).toEqual(expected);
    },
    PATIENCE_MS,
  );
});
