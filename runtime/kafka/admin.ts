import { setTimeout as delay } from 'node:timers/promises';
import type kafkajs from 'kafkajs';
import { backoffMs } from '../backoff.ts';
import { ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import type { KafkaCluster } from './cluster.ts';
import { leaseCluster } from './cluster-lease.ts';
import { assignerProtocol, type Broker } from './kafkajs-internals.ts';
import { requestOffsets } from './partition-offsets.ts';
import { isTransient } from './protocol-errors.ts';
import type { TopicPartition } from './record.ts';

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

/**
 * Partitions of each existing topic of this namespace, by logical name, as they are now.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function topicPartitions(client: KafkaClient): Promise<Map<string, number>> {
  return withCluster(client, 'topics cannot be listed', async (cluster) => {
    const { topicMetadata } = await cluster.retrying(QUESTION, async () => {
      // Any broker knows all topics. The coordinator of some group is one, whatever topics there are.
      const broker = await cluster.coordinator('group', client.physical('topics'));
      return cluster.call(broker, (asked) => (asked as AskedBroker).metadata());
    });
    const result = new Map<string, number>();
    for (const { topic, partitionMetadata } of topicMetadata) {
      const logical = client.logical(topic);
      if (logical !== undefined && !topic.startsWith('_'))
        result.set(logical, partitionMetadata.length);
    }
    return result;
  });
}

/**
 * First and next offset of each partition, as readers of committed records see them: `high` is before the first
 * undecided transaction.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, also when the topic does not exist.
 */
export async function topicOffsets(
  client: KafkaClient,
  topic: string,
): Promise<{ partition: number; low: bigint; high: bigint }[]> {
  return withCluster(client, `the offsets of ${topic} cannot be read`, async (cluster) => {
    const partitions = await partitionsOf(cluster, client.physical(topic));
    const offsets = await requestOffsets(cluster, partitions);
    return offsets.map(({ low, lastStable }, partition) => ({ partition, low, high: lastStable }));
  });
}

/**
 * The group's committed next offset of each partition; undefined where it has none. Offsets of a transaction count
 * once it is decided: after InitProducerId of its id they all are.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, also when the topic does not exist.
 */
export async function committedOffsets(
  client: KafkaClient,
  group: string,
  topic: string,
): Promise<Map<number, bigint | undefined>> {
  return withCluster(client, `the offsets of group ${group} cannot be read`, async (cluster) => {
    const name = client.physical(topic);
    const groupId = client.physical(group);
    const partitions = await partitionsOf(cluster, name);
    const request = { groupId, topics: [{ topic: name, partitions }] };
    const { responses } = await cluster.retrying(RETRY, () =>
      cluster.callCoordinator('group', groupId, (broker) => broker.offsetFetch(request)),
    );
    const found = responses[0]?.partitions ?? [];
    return new Map(
      found
        .toSorted((a, b) => a.partition - b.partition)
        .map(({ partition, offset }) => [
          partition,
          offset.startsWith('-') ? undefined : BigInt(offset),
        ]),
    );
  });
}

const RETRY = { timeoutMs: 15_000, pauseMs: 20 };
/** For what somebody waits for at a terminal. */
export const QUESTION = { timeoutMs: 5_000, pauseMs: 50 };

/** What of KafkaJS's brokers is asked here only. */
interface AskedBroker extends Broker {
  /** Of all topics. */
  metadata(): Promise<{
    readonly topicMetadata: readonly {
      readonly topic: string;
      readonly partitionMetadata: readonly unknown[];
    }[];
  }>;
  describeGroups(request: { readonly groupIds: readonly string[] }): Promise<{
    readonly groups: readonly {
      readonly state: string;
      readonly members: readonly {
        readonly memberId: string;
        readonly clientId: string;
        readonly clientHost: string;
        readonly memberAssignment: Buffer;
      }[];
    }[];
  }>;
}

async function partitionsOf(cluster: KafkaCluster, topic: string): Promise<TopicPartition[]> {
  const count = await cluster.retrying(RETRY, () => cluster.partitionCount(topic));
  return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
}

/** Runs `work` on the connections that a client shares. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function withCluster<T>(
  client: KafkaClient,
  what: string,
  work: (cluster: KafkaCluster) => Promise<T>,
): Promise<T> {
  const { cluster, release } = leaseCluster(client);
  try {
    return await work(cluster);
  } catch (error) {
    throw error instanceof ReachflowError ? error : kafkaUnavailable(what, error);
  } finally {
    release();
  }
}

/**
 * Deletes the records of a partition before `offset`, for good (DeleteRecords, KIP-107): its first offset is `offset`
 * then. An offset that is not beyond the first one deletes nothing.
 * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff), also when `offset` is beyond the end.
 */
export async function deleteRecordsBefore(
  client: KafkaClient,
  topic: string,
  partition: number,
  offset: bigint,
): Promise<void> {
  const what = `records of ${topic}[${partition}] cannot be deleted`;
  const name = client.physical(topic);
  const topics = [{ topic: name, partitions: [{ partition, offset: String(offset) }] }];
  await withCluster(client, what, (cluster) =>
    cluster.retrying({ timeoutMs: 15_000, pauseMs: 50 }, async () => {
      try {
        const leader = await cluster.leader(name, partition);
        await cluster.call(leader, (broker) => broker.deleteRecords({ topics }));
      } catch (error) {
        // KafkaJS lists what happened to each partition.
        const { partitions } = error as { partitions?: readonly { error: unknown }[] };
        const cause = partitions?.[0]?.error ?? error;
        if (isTransient(cause)) cluster.forgetLeaders(name);
        throw cause;
      }
    }),
  );
}

/** A member of a consumer group, as its coordinator has it. */
export interface GroupMemberStatus {
  readonly memberId: string;
  readonly clientId: string;
  /** Address that it connects from. */
  readonly host: string;
  /** Logical names; what is of another namespace is left out. */
  readonly assigned: readonly TopicPartition[];
}

/** A consumer group, as its coordinator has it. */
export interface GroupStatus {
  /** Logical name. */
  readonly group: string;
  /** `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty`, or `Dead` when there is no such group. */
  readonly state: string;
  readonly members: readonly GroupMemberStatus[];
}

/** Members and their partitions, group by group in the order asked for. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function describeGroups(
  client: KafkaClient,
  groups: readonly string[],
): Promise<GroupStatus[]> {
  return withCluster(client, 'consumer groups cannot be described', (cluster) =>
    Promise.all(groups.map((group) => describeGroup(client, cluster, group))),
  );
}

async function describeGroup(
  client: KafkaClient,
  cluster: KafkaCluster,
  group: string,
): Promise<GroupStatus> {
  const groupId = client.physical(group);
  const { groups } = await cluster.retrying(QUESTION, () =>
    cluster.callCoordinator('group', groupId, (broker) =>
      (broker as AskedBroker).describeGroups({ groupIds: [groupId] }),
    ),
  );
  const { state = 'Dead', members = [] } = groups[0] ?? {};
  return {
    group,
    state,
    members: members.map(({ memberId, clientId, clientHost, memberAssignment }) => ({
      memberId,
      clientId,
      host: clientHost.replace(/^\//, ''),
      assigned: assignedOf(client, memberAssignment),
    })),
  };
}

function assignedOf(client: KafkaClient, encoded: Buffer): TopicPartition[] {
  const assignment = assignerProtocol.MemberAssignment.decode(encoded)?.assignment ?? {};
  return Object.entries(assignment).flatMap(([name, partitions]) => {
    const topic = client.logical(name);
    return topic === undefined ? [] : partitions.map((partition) => ({ topic, partition }));
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
