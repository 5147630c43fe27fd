import { errorMessage, ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import type { KafkaCluster } from './cluster.ts';
import { leaseCluster } from './cluster-lease.ts';
import { assignerProtocol, protocolError } from './kafkajs-internals.ts';
import { requestOffsets } from './partition-offsets.ts';
import { CODE, isTransient, protocolCode } from './protocol-errors.ts';
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

/**
 * Creates the topics that do not exist, and returns once every broker knows all of them: who asks any broker then, finds
 * them. Each partition of a new one has a leader by then; one of an old topic may be without, as long as its brokers are
 * away. Existing ones keep their settings.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, or `TOPIC_REFUSED` (domain user) when the cluster cannot have such a topic.
 */
export async function ensureTopics(
  client: KafkaClient,
  plans: readonly TopicPlan[],
): Promise<void> {
  if (plans.length === 0) return;
  await withCluster(client, 'topics cannot be created', async (cluster) => {
    const existing = await existingTopics(cluster);
    const missing = plans.filter(({ name }) => !existing.has(client.physical(name)));
    if (missing.length > 0) await createTopics(client, cluster, missing);
    const names = plans.map(({ name }) => client.physical(name));
    await cluster.retrying(CREATION, () => checkKnown(cluster, names, existing));
  });
}

async function createTopics(
  { physical, config }: KafkaClient,
  cluster: KafkaCluster,
  plans: readonly TopicPlan[],
): Promise<void> {
  const topics = plans.map((plan) => ({
    topic: physical(plan.name),
    numPartitions: plan.partitions,
    replicationFactor: config.replicationFactor,
    configEntries: [
      { name: 'cleanup.policy', value: plan.cleanup },
      { name: 'retention.ms', value: String(plan.retentionMs) },
      { name: 'max.message.bytes', value: String(plan.maxMessageBytes) },
    ],
  }));
  await cluster.retrying(CREATION, async () => {
    try {
      const timeout = CREATION.timeoutMs;
      await cluster.callController((broker) => broker.createTopics({ topics, timeout }));
    } catch (error) {
      // KafkaJS lists what happened to each topic. Another process may have been quicker.
      const { errors = [error] } = error as { errors?: readonly unknown[] };
      const failed = errors.filter((each) => protocolCode(each) !== CODE.topicAlreadyExists);
      const final = failed.find((each) => !isTransient(each));
      if (final !== undefined) throw topicRefused(final, config.replicationFactor);
      if (failed.length > 0) throw failed[0];
    }
  });
}

/** What the cluster will answer again is for its user to mend; anything else is passed on. */
function topicRefused(error: unknown, replicationFactor: number): unknown {
  if (protocolCode(error) === undefined) return error;
  const isReplication = protocolCode(error) === CODE.invalidReplicationFactor;
  return new ReachflowError(`a topic cannot be created: ${errorMessage(error)}`, {
    code: 'TOPIC_REFUSED',
    domain: 'user',
    hint: isReplication
      ? `kafka.replicationFactor is ${replicationFactor}: the cluster has fewer brokers, or not all of them run.`
      : 'Create it by hand, or let this user create topics.',
    cause: error,
  });
}

/** @throws a transient protocol error while a broker does not know one of the topics, or a new one has no leader. */
async function checkKnown(
  cluster: KafkaCluster,
  names: readonly string[],
  old: ReadonlyMap<string, unknown>,
): Promise<void> {
  for (const id of await cluster.brokers()) {
    const { topics } = await cluster.metadata(id, names);
    for (const { topic, code, leaders } of topics) {
      const isLed = leaders.length > 0 && leaders.every((leader) => leader >= 0);
      // That it is unknown there will pass, however long it takes: it has been created.
      if (code !== 0 || !(isLed || old.has(topic))) throw protocolError(CODE.leaderNotAvailable);
    }
  }
}

/** Leaders of each topic there is, by its name on the brokers. */
async function existingTopics(cluster: KafkaCluster): Promise<Map<string, readonly number[]>> {
  const { topics } = await cluster.retrying(QUESTION, async () =>
    cluster.metadata(await cluster.anyBroker(), 'all'),
  );
  return new Map(topics.map(({ topic, leaders }) => [topic, leaders]));
}

/**
 * Partitions of each existing topic of this namespace, by logical name, as they are now.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function topicPartitions(client: KafkaClient): Promise<Map<string, number>> {
  return withCluster(client, 'topics cannot be listed', async (cluster) => {
    const result = new Map<string, number>();
    for (const [topic, leaders] of await existingTopics(cluster)) {
      const logical = client.logical(topic);
      if (logical !== undefined && !topic.startsWith('_')) result.set(logical, leaders.length);
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

/** Creating topics: an election under load takes its time. */
const CREATION = { timeoutMs: 30_000, pauseMs: 20 };
const RETRY = { timeoutMs: 15_000, pauseMs: 20 };
/** For what somebody waits for at a terminal. */
export const QUESTION = { timeoutMs: 5_000, pauseMs: 50 };

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
      broker.describeGroups({ groupIds: [groupId] }),
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
