import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stackConfigSchema } from '../../compose/config.ts';
import {
  downStack,
  killComponent,
  startComponent,
  stopComponent,
  upStack,
} from '../../compose/stack.ts';
import { eventually, testLogger } from '../../tests/support/kafka.ts';
import { committedOffsets, ensureTopics } from './admin.ts';
import { createKafkaClient, type KafkaClient } from './client.ts';
import { kafkaConfigSchema } from './config.ts';
import { EpochProducer } from './epoch-producer.ts';
import { partitionOffsets } from './partition-offsets.ts';
import { readPartition } from './partition-reader.ts';
import { followTopic, type TopicFollower } from './reader.ts';

const TASKS = 6;

describe('transactions while the broker restarts', () => {
  let dir: string;
  let client: KafkaClient;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'reachflow-broker-restart-'));
    const cacheDir =
      process.env['REACHFLOW_STACK_CACHE_DIR'] ?? stackConfigSchema.parse({}).cacheDir;
    const components = ['kafka' as const];
    const onProgress = () => undefined;
    const { endpoints } = await upStack({
      engine: 'embedded',
      dir,
      cacheDir,
      components,
      onProgress,
    });
    const { brokers } = endpoints.kafka;
    client = createKafkaClient(kafkaConfigSchema.parse({ brokers }), testLogger);
    const settings = { cleanup: 'delete' as const, retentionMs: -1, maxMessageBytes: 1_048_576 };
    await ensureTopics(client, [
      { name: 'in', partitions: TASKS, ...settings },
      { name: 'out', partitions: TASKS, ...settings },
    ]);
  }, 120_000);

  afterAll(async () => {
    await downStack(dir);
    await rm(dir, { recursive: true, force: true });
  }, 60_000);

  /** What a task does: goes on from what is committed, however often its producer fails. */
  class Task {
    readonly #partition: number;
    readonly #goOn: () => boolean;
    position = 0;
    failures = 0;

    constructor(partition: number, goOn: () => boolean) {
      this.#partition = partition;
      this.#goOn = goOn;
    }

    async run(): Promise<void> {
      while (this.#goOn()) {
        let producer: EpochProducer | undefined;
        try {
          producer = await EpochProducer.open(client, `task.${this.#partition}`);
          const committed = await committedOffsets(client, `g${this.#partition}`, 'in');
          this.position = Number(committed.get(this.#partition) ?? 0n);
          while (this.#goOn()) await this.#epoch(producer);
        } catch (error) {
          this.failures += 1;
          if (!(error as { retry?: string }).retry) throw error;
          await delay(100);
        } finally {
          await producer?.close();
        }
      }
    }

    async #epoch(producer: EpochProducer): Promise<void> {
      const partition = this.#partition;
      const batches = producer.begin();
      const next = this.position + 10;
      for (let i = this.position; i < next; i += 1)
        batches.append('out', partition, 'k', Buffer.from(String(i)), Date.now());
      const group = `g${partition}`;
      await producer.commit(batches, [{ group, topic: 'in', partition, nextOffset: BigInt(next) }]);
      this.position = next;
    }
  }

  it('loses nothing and doubles nothing, and followers go on', async () => {
    let running = true;
    const tasks = Array.from({ length: TASKS }, (_, p) => new Task(p, () => running));
    const followed = tasks.map((): string[] => []);
    const follower: TopicFollower = await followTopic(client, {
      topic: 'out',
      onRecord: ({ value }, partition) => void followed[partition]?.push(String(value)),
      onLost: (error) => expect.fail(error.message),
    });
    const work = Promise.all(tasks.map((task) => task.run()));
    const moved = async (what: string) => {
      const before = tasks.map(({ position }) => position);
      await eventually(
        what,
        () => tasks.every(({ position }, i) => position > (before[i] ?? 0) + 50),
        60_000,
      );
    };
    await moved('tasks commit');
    await killComponent(dir, 'kafka', 'SIGKILL');
    await startComponent(dir, 'kafka');
    await moved('tasks commit after a kill');
    await stopComponent(dir, 'kafka');
    await startComponent(dir, 'kafka');
    await moved('tasks commit after a stop');
    running = false;
    await work;
    for (const [partition, { position }] of tasks.entries()) {
      const values: string[] = [];
      const { high } = await partitionOffsets(client, 'out', partition);
      await readPartition(client, {
        topic: 'out',
        partition,
        from: 0n,
        to: high,
        onRecords: (records) => void values.push(...records.map(({ value }) => String(value))),
      });
      const committed = await committedOffsets(client, `g${partition}`, 'in');
      expect(committed.get(partition)).toBe(BigInt(position));
      expect(values).toEqual(Array.from({ length: position }, (_, i) => String(i)));
      await eventually('the follower is there', () => followed[partition]?.length === position);
      expect(followed[partition]).toEqual(values);
    }
    await follower.stop();
  });
});
