import { randomUUID } from 'node:crypto';
import type kafkajs from 'kafkajs';
import { ReachflowError } from '../errors.ts';
import { topicOffsets } from './admin.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import { type KafkaRecord, toKafkaRecord } from './record.ts';

export interface ReadOptions {
  /** Logical topic name. */
  readonly topic: string;
  /** Only these partitions; all when absent. */
  readonly partitions?: readonly number[];
  /** Called in offset order within a partition. What it throws ends the read. */
  readonly onRecord: (record: KafkaRecord, partition: number) => void;
  /** After a batch's records; the next batch of the partition waits for it. */
  readonly onBatch?: () => Promise<void>;
}

/** `followTopic` goes on for long: it has to say when it cannot. */
export interface FollowOptions extends ReadOptions {
  /** Called when the consumer gave up for good; nothing is handed over any more. */
  readonly onLost?: (error: ReachflowError) => void;
}

export interface TopicFollower {
  /** Resolves once every record that was in the topic at the start has been handed over. */
  readonly caughtUp: Promise<void>;
  stop(): Promise<void>;
}

const STALL_MS = 60_000;

/**
 * Reads a topic from its beginning and goes on reading until stopped: only committed transactions, without
 * committing offsets. It uses a consumer group of its own, which vanishes when it leaves.
 * @throws ReachflowError `KAFKA_UNAVAILABLE` when the broker or the topic is away.
 */
export async function followTopic(
  client: KafkaClient,
  options: FollowOptions,
): Promise<TopicFollower> {
  const { kafka, physical } = client;
  const name = physical(options.topic);
  const ends = await endOffsets(client, options.topic, options.partitions);
  const consumer = kafka.consumer({
    groupId: physical(`reader.${randomUUID()}`),
    maxWaitTimeInMs: 100,
    sessionTimeout: 30_000,
    maxBytesPerPartition: 4_194_304,
    readUncommitted: false,
    retry: { initialRetryTime: 50, maxRetryTime: 1_000, retries: 10 },
  });
  const { caughtUp, advance, fail } = trackEnds(options.topic, ends);
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
    advance(payload.partition, BigInt(payload.lastOffset));
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (payload.restart) return;
    const error = kafkaUnavailable(`reading ${options.topic} failed`, payload.error);
    fail(error);
    options.onLost?.(error);
  });
  const wanted = options.partitions === undefined ? undefined : new Set(options.partitions);
  // Nothing is committed, so a consumer that joins its group again begins anew: what was handed over already is
  // passed over, or an older value would follow a newer one.
  const next = new Map<number, bigint>();
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [name], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 4,
      eachBatch: async ({ batch }) => {
        if (wanted !== undefined && !wanted.has(batch.partition)) return;
        try {
          for (const message of batch.messages) {
            const record = toKafkaRecord(message);
            if (record.offset < (next.get(batch.partition) ?? 0n)) continue;
            options.onRecord(record, batch.partition);
            next.set(batch.partition, record.offset + 1n);
          }
          await options.onBatch?.();
        } catch (error) {
          fail(error);
          throw error;
        }
      },
    });
  } catch (error) {
    await consumer.disconnect().catch(() => undefined);
    throw kafkaUnavailable(`reading ${options.topic} failed`, error);
  }
  return { caughtUp, stop: () => disconnect(consumer) };
}

/** Reads what the topic holds now, from its beginning, then returns. */
export async function readTopic(client: KafkaClient, options: ReadOptions): Promise<void> {
  const follower = await followTopic(client, options);
  try {
    await follower.caughtUp;
  } finally {
    await follower.stop();
  }
}

async function disconnect(consumer: kafkajs.Consumer): Promise<void> {
  await consumer.disconnect().catch(() => undefined);
}

/** End offset per partition that holds anything. */
async function endOffsets(
  client: KafkaClient,
  topic: string,
  partitions: readonly number[] | undefined,
): Promise<Map<number, bigint>> {
  const ends = new Map<number, bigint>();
  for (const { partition, low, high } of await topicOffsets(client, topic)) {
    if (partitions !== undefined && !partitions.includes(partition)) continue;
    if (high > low) ends.set(partition, high);
  }
  return ends;
}

/** A promise that resolves when every partition has been read up to its end; it fails when nothing moves. */
function trackEnds(topic: string, ends: Map<number, bigint>) {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => undefined);
  const stalled = () =>
    reject(
      new ReachflowError(`reading ${topic} stands still before its end`, {
        code: 'READ_STALLED',
        domain: 'external',
        retry: 'backoff',
        hint: 'A transaction that was never ended may hold readers back until it times out.',
      }),
    );
  let timer = setTimeout(stalled, STALL_MS);
  timer.unref();
  const done = () => {
    clearTimeout(timer);
    resolve();
  };
  if (ends.size === 0) done();
  return {
    caughtUp: promise,
    fail: (error: unknown) => {
      clearTimeout(timer);
      reject(error);
    },
    advance: (partition: number, lastOffset: bigint) => {
      const end = ends.get(partition);
      if (end === undefined) return;
      clearTimeout(timer);
      if (lastOffset + 1n >= end) ends.delete(partition);
      if (ends.size === 0) return done();
      timer = setTimeout(stalled, STALL_MS);
      timer.unref();
    },
  };
}
