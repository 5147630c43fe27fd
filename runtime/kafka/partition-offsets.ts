import { type KafkaClient, kafkaUnavailable } from './client.ts';
import type { KafkaCluster } from './cluster.ts';
import { leaseCluster } from './cluster-lease.ts';
import { isTransient } from './protocol-errors.ts';
import type { TopicPartition } from './record.ts';

/** How far a partition reaches. */
export interface PartitionOffsets {
  /** First offset that is still there. */
  readonly low: bigint;
  /** Next offset, undecided transactions included. */
  readonly high: bigint;
  /** Where readers of committed records end: before the first undecided transaction. */
  readonly lastStable: bigint;
}

const EARLIEST = -2;
const LATEST = -1;
const TIMEOUT_MS = 15_000;

/** @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff), also when the topic or partition does not exist. */
export async function partitionOffsets(
  client: KafkaClient,
  topic: string,
  partition: number,
): Promise<PartitionOffsets> {
  const [offsets] = await manyPartitionOffsets(client, [{ topic, partition }]);
  if (offsets === undefined) throw new Error('no offsets for one partition');
  return offsets;
}

/**
 * Of many partitions, in their order: three requests a broker, at the same time, however many partitions.
 * @throws as `partitionOffsets`.
 */
export async function manyPartitionOffsets(
  client: KafkaClient,
  partitions: readonly TopicPartition[],
): Promise<PartitionOffsets[]> {
  const { cluster, release } = leaseCluster(client);
  const physical = partitions.map(({ topic, partition }) => ({
    topic: client.physical(topic),
    partition,
  }));
  try {
    return await requestOffsets(cluster, physical);
  } catch (error) {
    const names = [...new Set(partitions.map(({ topic }) => topic))].join(', ');
    throw kafkaUnavailable(`the offsets of ${names} cannot be read`, error);
  } finally {
    release();
  }
}

/**
 * First offset of each partition whose record has a timestamp of `ms` or later; undefined where there is none.
 * @param ms since the epoch. @throws as `partitionOffsets`.
 */
export async function offsetsAtTime(
  client: KafkaClient,
  partitions: readonly TopicPartition[],
  ms: number,
): Promise<(bigint | undefined)[]> {
  const { cluster, release } = leaseCluster(client);
  try {
    const found: (bigint | undefined)[] = [];
    for (const { topic, partition } of partitions) {
      const source = { topic: client.physical(topic), partition };
      const offset = await cluster.retrying({ timeoutMs: TIMEOUT_MS, pauseMs: 20 }, async () => {
        await cluster.loadTopics([source.topic]);
        const leader = await cluster.leader(source.topic, partition);
        const answer = await list(cluster, leader, [source], ms, 1);
        return answer.get(`${source.topic}/${partition}`);
      });
      found.push(offset === undefined || offset < 0n ? undefined : offset);
    }
    return found;
  } catch (error) {
    throw kafkaUnavailable('offsets by time cannot be read', error);
  } finally {
    release();
  }
}

/** As `manyPartitionOffsets`, with names as the brokers know them. @throws KafkaJS's errors. */
export async function requestOffsets(
  cluster: KafkaCluster,
  partitions: readonly TopicPartition[],
): Promise<PartitionOffsets[]> {
  return cluster.retrying({ timeoutMs: TIMEOUT_MS, pauseMs: 20 }, async () => {
    try {
      return await ask(cluster, partitions);
    } catch (error) {
      if (isTransient(error)) for (const { topic } of partitions) cluster.forgetLeaders(topic);
      throw error;
    }
  });
}

async function ask(
  cluster: KafkaCluster,
  partitions: readonly TopicPartition[],
): Promise<PartitionOffsets[]> {
  await cluster.loadTopics([...new Set(partitions.map(({ topic }) => topic))]);
  const byLeader = new Map<number, TopicPartition[]>();
  for (const of of partitions) {
    const leader = await cluster.leader(of.topic, of.partition);
    const group = byLeader.get(leader);
    if (group === undefined) byLeader.set(leader, [of]);
    else group.push(of);
  }
  const groups = [...byLeader];
  const listed = (timestamp: number, isolationLevel: 0 | 1) =>
    Promise.all(groups.map((group) => list(cluster, ...group, timestamp, isolationLevel)));
  const [low, high, stable] = await Promise.all([
    listed(EARLIEST, 0),
    listed(LATEST, 0),
    listed(LATEST, 1),
  ]);
  const of = (answers: readonly ReadonlyMap<string, bigint>[], key: string) =>
    answers.find((answer) => answer.has(key))?.get(key) ?? 0n;
  return partitions.map(({ topic, partition }) => {
    const key = `${topic}/${partition}`;
    return { low: of(low, key), high: of(high, key), lastStable: of(stable, key) };
  });
}

async function list(
  cluster: KafkaCluster,
  leader: number,
  partitions: readonly TopicPartition[],
  timestamp: number,
  isolationLevel: 0 | 1,
): Promise<Map<string, bigint>> {
  const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([topic, own]) => ({
    topic,
    partitions: own.map(({ partition }) => ({ partition, timestamp })),
  }));
  const { responses } = await cluster.call(leader, (broker) =>
    broker.listOffsets({ replicaId: -1, isolationLevel, topics }),
  );
  return new Map(
    responses.flatMap(({ topic, partitions: own }) =>
      own.map(({ partition, offset }) => [`${topic}/${partition}`, BigInt(offset)]),
    ),
  );
}
