import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testStack } from '../../tests/integration/stack.ts';
import { kafkaFixture, testLogger } from '../../tests/support/kafka.ts';
import { ensureTopics } from '../kafka/admin.ts';
import { readTopic } from '../kafka/reader.ts';
import { Drain } from './drain.ts';
import { encodeSpooled } from './record.ts';
import { SegmentLog } from './segment-log.ts';

const RECORDS = Number(process.env['REACHFLOW_TEST_SPOOL_RECORDS'] ?? 40_000);
const KEYS = 50;
const TOPIC = 'webhook.received';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'reachflow-drain-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function open(segmentBytes = 2 ** 20): Promise<SegmentLog> {
  return SegmentLog.open({ dir, maxBytes: 2 ** 32, segmentBytes, logger: testLogger });
}

async function fill(log: SegmentLog, from: number, to: number, bytes = 100): Promise<void> {
  const padding = 'x'.repeat(bytes);
  const step = 2_000;
  for (let at = from; at < to; at += step) {
    const numbers = Array.from({ length: Math.min(step, to - at) }, (_, i) => at + i);
    const appends = numbers.map((n) => {
      const value = Buffer.from(`${n} ${padding}`);
      return log.append(encodeSpooled({ topic: TOPIC, key: `k${n % KEYS}`, value }, 1_000 + n));
    });
    await Promise.all(appends);
  }
}

async function topicOf(client: ReturnType<typeof kafkaFixture>['client']): Promise<number[]> {
  const found: number[] = [];
  await readTopic(client, {
    topic: TOPIC,
    onRecord: ({ value }) => void found.push(Number.parseInt(String(value), 10)),
  });
  return found;
}

/** Each number once, and those of a key in order: a key's numbers are those of one remainder. */
function expectAllOnceInOrder(found: readonly number[], count: number): void {
  expect(found).toHaveLength(count);
  expect(new Set(found).size).toBe(count);
  const last = new Map<number, number>();
  const disordered = found.filter((n) => {
    const before = last.get(n % KEYS) ?? -1;
    last.set(n % KEYS, n);
    return n <= before;
  });
  expect(disordered).toEqual([]);
}

async function setUp() {
  const { client } = kafkaFixture();
  const settings = { cleanup: 'delete' as const, retentionMs: -1, maxMessageBytes: 1_048_576 };
  await ensureTopics(client, [{ name: TOPIC, partitions: 4, ...settings }]);
  return client;
}

describe('draining a log', { timeout: 120_000 }, () => {
  it('goes on from what is committed, whatever is left on disk', async () => {
    const client = await setUp();
    const log = await open();
    await fill(log, 0, 20);
    await log.seal();
    const first = await Drain.open({ client, log, topic: TOPIC });
    const [segment] = log.segments;
    await first.skipTo({ segment: segment?.id ?? '', index: 5 });
    await first.close();
    const second = await Drain.open({ client, log, topic: TOPIC });
    expect(log.standing.records).toBe(15);
    await second.drain(() => false);
    expect(log.isEmpty).toBe(true);
    expect(second.drained).toBe(15);
    await fill(log, 20, 40);
    await log.seal();
    await second.drain(() => false);
    await second.close();
    await log.close();
    const found = await topicOf(client);
    expect(found.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 35 }, (_, i) => i + 5));
  });

  it('fences who drained before', async () => {
    const client = await setUp();
    const log = await open();
    await fill(log, 0, 10);
    await log.seal();
    const zombie = await Drain.open({ client, log, topic: TOPIC });
    const owner = await Drain.open({ client, log, topic: TOPIC });
    await expect(zombie.drain(() => false)).rejects.toMatchObject({ code: 'FENCED' });
    await owner.drain(() => false);
    await Promise.all([zombie.close(), owner.close()]);
    await log.close();
    expectAllOnceInOrder(await topicOf(client), 10);
  });

  it('writes each record once, in order, however often it is killed', async () => {
    const client = await setUp();
    const log = await open();
    await fill(log, 0, RECORDS);
    await log.close();
    const script = join(import.meta.dirname, 'testing', 'drain-forever.ts');
    const env = {
      ...process.env,
      DIR: dir,
      KAFKA: testStack().kafka.brokers.join(','),
      NAMESPACE: client.config.namespace,
      TOPIC,
    };
    let kills = 0;
    for (let code: number | null = null; code !== 0; ) {
      expect(kills).toBeLessThan(60);
      const child = spawn(process.execPath, [script], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit') as Promise<[number | null]>;
      await Promise.race([once(child.stdout, 'data'), exited]);
      // Into a transaction, a commit, or the removal of a segment: each round later.
      await Promise.race([delay(30 * (kills + 1)), exited]);
      child.kill('SIGKILL');
      [code] = await exited;
      kills += 1;
    }
    expect(kills).toBeGreaterThan(1);
    expectAllOnceInOrder(await topicOf(client), RECORDS);
  });
});
