import { QUESTION, topicPartitions, withCluster } from './admin.ts';
import type { KafkaClient } from './client.ts';
import type { KafkaCluster } from './cluster.ts';
import { type ClusterLease, leaseCluster } from './cluster-lease.ts';
import { manyPartitionOffsets, requestOffsets } from './partition-offsets.ts';
import { CODE, protocolCode } from './protocol-errors.ts';
import type { TopicPartition } from './record.ts';

/** A consumer group and the topics it reads, by logical names. */
export interface WatchedGroup {
  readonly group: string;
  readonly topics: readonly string[];
}

/** How far a group is on one partition. */
export interface GroupPosition extends TopicPartition {
  /** Next offset to read; undefined when nothing was committed. */
  readonly committed: bigint | undefined;
  /** First offset that is still there. */
  readonly low: bigint;
  /** Next offset on the broker, undecided transactions included. */
  readonly end: bigint;
  /** Offsets that the group has still to read; transaction markers count. */
  readonly lag: bigint;
}

/**
 * Where many groups are on their topics, by group: one request a group, and three a broker for all partitions, on the
 * connections that a client shares. Topics that do not exist are left out.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function groupPositions(
  client: KafkaClient,
  groups: readonly WatchedGroup[],
): Promise<Map<string, readonly GroupPosition[]>> {
  return withCluster(client, 'the positions of groups cannot be read', async (cluster) => {
    const topics = [...new Set(groups.flatMap(({ topics: own }) => own))];
    const partitions = await presentPartitions(cluster, topics.map(client.physical));
    const all = [...partitions.values()].flat();
    const [offsets, committed] = await Promise.all([
      all.length === 0 ? [] : requestOffsets(cluster, all),
      Promise.all(groups.map((group) => committedOf(client, cluster, group, partitions))),
    ]);
    const found = new Map(all.map((of, i) => [nameOf(of), offsets[i]]));
    return new Map(
      groups.map(({ group, topics: own }, i) => {
        const positions = own.flatMap((topic) =>
          (partitions.get(client.physical(topic)) ?? []).map((of) => {
            const { low = 0n, high: end = 0n } = found.get(nameOf(of)) ?? {};
            const next = committed[i]?.get(nameOf(of));
            const from = next === undefined || next < low ? low : next;
            const lag = end > from ? end - from : 0n;
            return { topic, partition: of.partition, committed: next, low, end, lag };
          }),
        );
        return [group, positions];
      }),
    );
  });
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** Partitions of those topics that exist, as they are now. Names are the brokers'. */
async function presentPartitions(
  cluster: KafkaCluster,
  topics: readonly string[],
): Promise<Map<string, TopicPartition[]>> {
  // Some may have got more partitions.
  for (const topic of topics) cluster.forgetLeaders(topic);
  await cluster.retrying(QUESTION, () => cluster.loadTopics(topics));
  const found = new Map<string, TopicPartition[]>();
  const look = async (topic: string): Promise<void> => {
    const count = await cluster.partitionCount(topic).catch((error: unknown) => {
      if (protocolCode(error) === CODE.unknownTopicOrPartition) return 0;
      throw error;
    });
    found.set(
      topic,
      Array.from({ length: count }, (_, partition) => ({ topic, partition })),
    );
  };
  await Promise.all(topics.map(look));
  return found;
}

/** By `<topic>/<partition>`, only where something is committed. Names are the brokers'. */
async function committedOf(
  client: KafkaClient,
  cluster: KafkaCluster,
  { group, topics }: WatchedGroup,
  partitions: ReadonlyMap<string, readonly TopicPartition[]>,
): Promise<Map<string, bigint>> {
  const groupId = client.physical(group);
  const asked = topics
    .map((topic) => ({
      topic: client.physical(topic),
      partitions: partitions.get(client.physical(topic)) ?? [],
    }))
    .filter(({ partitions: own }) => own.length > 0);
  if (asked.length === 0) return new Map();
  const { responses } = await cluster.retrying(QUESTION, () =>
    cluster.callCoordinator('group', groupId, (broker) =>
      broker.offsetFetch({ groupId, topics: asked }),
    ),
  );
  return new Map(
    responses.flatMap(({ topic, partitions: own }) =>
      own.flatMap(({ partition, offset }) =>
        offset === '-1' ? [] : [[nameOf({ topic, partition }), BigInt(offset)] as const],
      ),
    ),
  );
}

/** How much topics hold and groups have still to read. Names are logical: without the namespace. */
export class KafkaStats {
  readonly #client: KafkaClient;
  readonly #groups: readonly WatchedGroup[];
  /** Keeps the connections from one question to the next. */
  #lease: ClusterLease | undefined;

  constructor(client: KafkaClient, groups: readonly WatchedGroup[]) {
    this.#client = client;
    this.#groups = groups;
  }

  /**
   * Records of each topic by its offsets: markers of transactions count, compacted records too.
   * @throws ReachflowError `KAFKA_UNAVAILABLE`, as the others.
   */
  topicCounts(): Promise<Map<string, number>> {
    return this.#counts(() => true);
  }

  /** Offsets that each group has still to read, over its topics; 0 is all read. */
  async lag(): Promise<Map<string, number>> {
    this.#connect();
    const positions = await groupPositions(this.#client, this.#groups);
    return new Map(
      [...positions].map(([group, own]) => [
        group,
        own.reduce((sum, { lag }) => sum + Number(lag), 0),
      ]),
    );
  }

  /** Records in all DLQ topics. */
  async dlqCount(): Promise<number> {
    const counts = await this.#counts((topic) => topic.endsWith('.dlq'));
    return [...counts.values()].reduce((sum, count) => sum + count, 0);
  }

  async #counts(wanted: (topic: string) => boolean): Promise<Map<string, number>> {
    this.#connect();
    const counts = new Map<string, number>();
    const all: TopicPartition[] = [];
    for (const [topic, count] of await topicPartitions(this.#client)) {
      if (!wanted(topic)) continue;
      counts.set(topic, 0);
      for (let partition = 0; partition < count; partition += 1) all.push({ topic, partition });
    }
    const offsets = all.length === 0 ? [] : await manyPartitionOffsets(this.#client, all);
    for (const [i, { low, high }] of offsets.entries()) {
      const topic = all[i]?.topic ?? '';
      counts.set(topic, (counts.get(topic) ?? 0) + Number(high - low));
    }
    return counts;
  }

  #connect(): void {
    this.#lease ??= leaseCluster(this.#client);
  }

  async close(): Promise<void> {
    this.#lease?.release();
    this.#lease = undefined;
  }
}
