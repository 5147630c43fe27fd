import { errorMessage, ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import { type ClusterLease, leaseCluster } from './cluster-lease.ts';
import { requestOffsets } from './partition-offsets.ts';
import { isGroupChange } from './protocol-errors.ts';
import type { TopicPartition } from './record.ts';
import { requestTopicIds } from './topic-ids.ts';

/** A member of a consumer group as of one generation. */
export interface Membership {
  readonly memberId: string;
  readonly generation: number;
}

/** What a group has committed for a partition, and what the partition holds. */
export interface GroupOffset extends TopicPartition {
  /** Next offset to read; undefined where nothing is committed. */
  readonly offset: bigint | undefined;
  /** Of the commit; empty without. */
  readonly metadata: string;
  /** First offset that is still there. */
  readonly low: bigint;
  /** Where readers of committed records end. */
  readonly high: bigint;
  /** Next offset, undecided transactions included. */
  readonly end: bigint;
  /** Of the topic now; undefined before Kafka 2.8. */
  readonly topicId: string | undefined;
  /** Of the topic that the offset was committed for; undefined where the commit does not say. */
  readonly committedId: string | undefined;
}

const RETRY = { timeoutMs: 10_000, pauseMs: 20 };

/**
 * Reads and commits a group's offsets with their metadata, beside its consumer. A commit carries the generation in
 * which the caller was given the partition: the coordinator refuses it once the group has moved on, however late it
 * comes. (KafkaJS's own commit takes the generation of the moment, also when it repeats an earlier one.)
 */
export class GroupOffsets {
  readonly #client: KafkaClient;
  readonly #lease: ClusterLease;
  readonly #group: string;
  /** By logical name, as they were when its offsets were read. */
  readonly #topicIds = new Map<string, string>();

  /** @param group logical name. Connects when first used. */
  constructor(client: KafkaClient, group: string) {
    this.#client = client;
    this.#lease = leaseCluster(client);
    this.#group = group;
  }

  /**
   * In the order of the partitions: one request to the coordinator, three to each leader, one for the topics' ids.
   * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff).
   */
  async read(partitions: readonly TopicPartition[]): Promise<GroupOffset[]> {
    if (partitions.length === 0) return [];
    const { cluster } = this.#lease;
    const groupId = this.#client.physical(this.#group);
    const named = partitions.map(({ topic, partition }) => ({
      topic: this.#client.physical(topic),
      partition,
    }));
    const topics = [...Map.groupBy(named, ({ topic }) => topic)].map(([topic, own]) => ({
      topic,
      partitions: own.map(({ partition }) => ({ partition })),
    }));
    try {
      const { responses } = await cluster.retrying(RETRY, () =>
        cluster.callCoordinator('group', groupId, (broker) =>
          broker.offsetFetch({ groupId, topics }),
        ),
      );
      // After the committed offsets: the end is never before one of them unless the topic was made anew.
      const ends = await requestOffsets(cluster, named);
      const ids = await requestTopicIds(
        cluster,
        topics.map(({ topic }) => topic),
      );
      const found = new Map(
        responses.flatMap(({ topic, partitions: own }) =>
          own.map((one) => [`${topic}/${one.partition}`, one] as const),
        ),
      );
      return partitions.map((of, i) => {
        const one = found.get(`${named[i]?.topic}/${of.partition}`);
        const offset =
          one === undefined || one.offset.startsWith('-') ? undefined : BigInt(one.offset);
        const { low = 0n, lastStable: high = 0n, high: end = 0n } = ends[i] ?? {};
        const topicId = ids.get(named[i]?.topic ?? '');
        if (topicId !== undefined) this.#topicIds.set(of.topic, topicId);
        const { id: committedId, metadata } = splitMetadata(one?.metadata ?? '');
        return { ...of, offset, metadata, low, high, end, topicId, committedId };
      });
    } catch (error) {
      throw kafkaUnavailable(`the offsets of group ${this.#group} cannot be read`, error);
    }
  }

  /**
   * @param metadata kept with the offset and the id that the topic had when it was read; at most 4,070 bytes.
   * @throws ReachflowError `GROUP_CHANGED` when the member is not of the group's present generation;
   *   `KAFKA_UNAVAILABLE` (retry: backoff) otherwise: the commit may have been made.
   */
  async commit(
    { memberId, generation }: Membership,
    { topic, partition }: TopicPartition,
    offset: bigint,
    metadata = '',
  ): Promise<void> {
    const { cluster } = this.#lease;
    const groupId = this.#client.physical(this.#group);
    const id = this.#topicIds.get(topic);
    const noted = id === undefined ? metadata : `id:${id};${metadata}`;
    const request = {
      groupId,
      memberId,
      groupGenerationId: generation,
      topics: [
        {
          topic: this.#client.physical(topic),
          partitions: [{ partition, offset: String(offset), metadata: noted }],
        },
      ],
    };
    try {
      await cluster.retrying(RETRY, () =>
        cluster.callCoordinator('group', groupId, (broker) => broker.offsetCommit(request)),
      );
    } catch (error) {
      if (isGroupChange(error)) throw groupChanged(this.#group, error);
      throw kafkaUnavailable(`group ${this.#group} cannot commit ${topic}[${partition}]`, error);
    }
  }

  /** Lets go of the connections. Idempotent. */
  close(): void {
    this.#lease.release();
  }
}

function groupChanged(group: string, cause: unknown): ReachflowError {
  return new ReachflowError(`group ${group} has moved on: ${errorMessage(cause)}`, {
    code: 'GROUP_CHANGED',
    domain: 'external',
    cause,
  });
}

function splitMetadata(text: string): {
  readonly id: string | undefined;
  readonly metadata: string;
} {
  const id = /^id:([\w-]{22});/.exec(text)?.[1];
  return { id, metadata: id === undefined ? text : text.slice(id.length + 4) };
}
