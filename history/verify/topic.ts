import { ReachflowError } from '../../runtime/errors.ts';
import { topicPartitions } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import {
  manyPartitionOffsets,
  type PartitionOffsets,
} from '../../runtime/kafka/partition-offsets.ts';
import { topicId, topicSetting } from '../../runtime/kafka/topic-settings.ts';
import { type RecordedHeads, readHeads, recordHeads } from '../head-log.ts';
import { type VerifyProgress, verifyPartition } from './partition.ts';
import type { PartitionReport } from './report.ts';

/** A topic, as far as its verification goes. */
export interface TopicState {
  /** Logical name. */
  readonly topic: string;
  readonly topicId: string | undefined;
  readonly isCompacted: boolean;
  /** By partition. */
  readonly offsets: readonly PartitionOffsets[];
  readonly recorded: RecordedHeads;
}

/** @throws ReachflowError `TOPIC_NOT_FOUND`, and as `readHeads`. */
export async function topicState(client: KafkaClient, topic: string): Promise<TopicState> {
  const count = (await topicPartitions(client)).get(topic);
  if (count === undefined) {
    throw new ReachflowError(`there is no topic ${topic}`, {
      code: 'TOPIC_NOT_FOUND',
      domain: 'user',
      hint: 'Names are logical, without the namespace: `reachflow topology` shows them.',
    });
  }
  const all = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
  const [offsets, id, policies, recorded] = await Promise.all([
    manyPartitionOffsets(client, all),
    topicId(client, topic),
    topicSetting(client, [topic], 'cleanup.policy'),
    readHeads(client, topic),
  ]);
  const isCompacted = (policies.get(topic) ?? '').includes('compact');
  return { topic, topicId: id, isCompacted, offsets, recorded };
}

export interface VerifyTopicOptions {
  /** Logical name. */
  readonly topic: string;
  /** All by default. */
  readonly partitions?: readonly number[] | undefined;
  /** Of a partition: where to begin and to end; undefined is all that is there. */
  readonly range?: (partition: number) => {
    readonly from?: bigint | undefined;
    readonly to?: bigint | undefined;
  };
  /** Records a new head where a partition is whole. */
  readonly record?: boolean;
  /** With `record`: reads only what came since the last head. */
  readonly newOnly?: boolean;
  readonly onProgress?: (partition: number, progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
}

/** What was found, partition by partition. */
export interface TopicReport {
  readonly topic: string;
  readonly partitions: readonly PartitionReport[];
  /** What stands in the log of heads and is none. */
  readonly broken: RecordedHeads['broken'];
  /** Heads that were recorded now. */
  readonly recorded: number;
}

/** Whether nothing is wrong: what is not recorded, or has expired, is not. */
export function isIntact({ partitions, broken }: TopicReport): boolean {
  return broken.length === 0 && partitions.every(({ faults }) => faults.length === 0);
}

/**
 * Verifies the partitions of a topic one after the other: each keeps a core busy.
 * @throws ReachflowError as `topicState` and `verifyPartition`.
 */
export async function verifyTopic(
  client: KafkaClient,
  options: VerifyTopicOptions,
): Promise<TopicReport> {
  const { topic, record = false, newOnly = false, onProgress, signal } = options;
  const state = await topicState(client, topic);
  const reports: PartitionReport[] = [];
  for (const [partition, { low, lastStable: end }] of state.offsets.entries()) {
    if (options.partitions?.includes(partition) === false) continue;
    const heads = state.recorded.heads.filter((head) => head.partition === partition);
    const report = await verifyPartition(client, {
      ...{ topic, partition, low, end, heads, signal },
      ...{ topicId: state.topicId, isCompacted: state.isCompacted },
      ...options.range?.(partition),
      ...{ isExtended: record, isNewOnly: newOnly },
      onProgress: (progress) => onProgress?.(partition, progress),
    });
    reports.push(report);
  }
  const heads = record ? reports.flatMap(({ head }) => head ?? []) : [];
  await recordHeads(client, heads);
  return { topic, partitions: reports, broken: state.recorded.broken, recorded: heads.length };
}
