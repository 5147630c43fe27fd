import { setTimeout as delay } from 'node:timers/promises';
import type kafkajs from 'kafkajs';
import { backoffMs } from '../backoff.ts';
import { ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';

/** A topic to create. */
export interface TopicPlan {
  /** Logical name. */
  readonly name: string;
  readonly partitions: number;
  readonly cleanup: 'delete' | 'compact' | 'compact,delete';
  /** -1 keeps for ever. */
  readonly retentionMs: number;
  readonly maxMessageBytes: number;
}

/** Answers of a broker that does not know yet what the controller has decided: a moment later it does. */
const NOT_YET = new Set([
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
]);
const MAX_ATTEMPTS = 8;

function isNotYet(error: unknown): boolean {
  const type = (error as { type?: unknown } | null)?.type;
  return typeof type === 'string' && NOT_YET.has(type);
}

/**
 * Runs `work` with a connected admin client, again while a broker is not up to date.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
async function withAdmin<T>(
  client: KafkaClient,
  what: string,
  work: (admin: kafkajs.Admin) => Promise<T>,
): Promise<T> {
  const admin = client.kafka.admin({ retry: { initialRetryTime: 50, retries: 6 } });
  try {
    await admin.connect();
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work(admin);
      } catch (error) {
        if (!isNotYet(error) || attempt === MAX_ATTEMPTS) throw error;
        await delay(backoffMs(attempt, { initialMs: 50, maxMs: 1_000 }));
      }
    }
  } catch (error) {
    if (error instanceof ReachflowError) throw error;
    throw kafkaUnavailable(what, error);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/**
 * Creates the topics that do not exist. Existing ones keep their settings.
 * @throws ReachflowError `TOPIC_PARTITIONS` when one exists with fewer partitions than it must share with another.
 */
export async function ensureTopics(
  client: KafkaClient,
  plans: readonly TopicPlan[],
): Promise<void> {
  await withAdmin(client, 'topics cannot be created', async (admin) => {
    const existing = new Set(await admin.listTopics());
    const missing = plans.filter(({ name }) => !existing.has(client.physical(name)));
    if (missing.length === 0) return;
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map((plan) => ({
        topic: client.physical(plan.name),
        numPartitions: plan.partitions,
        replicationFactor: client.config.replicationFactor,
        configEntries: [
          { name: 'cleanup.policy', value: plan.cleanup },
          { name: 'retention.ms', value: String(plan.retentionMs) },
          { name: 'max.message.bytes', value: String(plan.maxMessageBytes) },
        ],
      })),
    });
  });
}

/** Partitions of each existing topic of this namespace, by logical name. */
export async function topicPartitions(client: KafkaClient): Promise<Map<string, number>> {
  return withAdmin(client, 'topics cannot be listed', async (admin) => {
    const { topics } = await admin.fetchTopicMetadata();
    const result = new Map<string, number>();
    for (const { name, partitions } of topics) {
      const logical = client.logical(name);
      if (logical !== undefined && !name.startsWith('_')) result.set(logical, partitions.length);
    }
    return result;
  });
}

/** First and next offset of each partition. */
export async function topicOffsets(
  client: KafkaClient,
  topic: string,
): Promise<{ partition: number; low: bigint; high: bigint }[]> {
  return withAdmin(client, `the offsets of ${topic} cannot be read`, async (admin) => {
    const offsets = await admin.fetchTopicOffsets(client.physical(topic));
    return offsets.map(({ partition, low, high }) => ({
      partition,
      low: BigInt(low),
      high: BigInt(high),
    }));
  });
}

/** The group's committed next offset of each partition; undefined where it has none. */
export async function committedOffsets(
  client: KafkaClient,
  group: string,
  topic: string,
): Promise<Map<number, bigint | undefined>> {
  return withAdmin(client, `the offsets of group ${group} cannot be read`, async (admin) => {
    const topics = [client.physical(topic)];
    const [found] = await admin.fetchOffsets({ groupId: client.physical(group), topics });
    return new Map(
      (found?.partitions ?? []).map(({ partition, offset }) => [
        partition,
        offset === '-1' ? undefined : BigInt(offset),
      ]),
    );
  });
}

/** Records that a group has still to read of a topic. Transaction markers count: 0 means read to the end. */
export async function groupLag(client: KafkaClient, group: string, topic: string): Promise<number> {
  const [offsets, committed] = await Promise.all([
    topicOffsets(client, topic),
    committedOffsets(client, group, topic),
  ]);
  let lag = 0n;
  for (const { partition, low, high } of offsets) {
    const next = committed.get(partition) ?? low;
    if (high > next) lag += high - next;
  }
  return Number(lag);
}
