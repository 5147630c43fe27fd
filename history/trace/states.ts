import { topicPartitions } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { offsetsAtTime, partitionOffsets } from '../../runtime/kafka/partition-offsets.ts';
import { readPartition } from '../../runtime/kafka/partition-reader.ts';
import { readSegment } from '../../runtime/state/changelog.ts';
import { changelogOf } from '../../schemas/topics.ts';
import type { StateVisit } from './model.ts';

/** A task whose state a record may have changed. */
export interface SoughtTask {
  readonly pipeline: string;
  readonly subTopology: string;
  readonly partition: number;
}

export interface StatesOptions {
  readonly tasks: readonly SoughtTask[];
  /** In an entry's key. */
  readonly needle: string;
  /** ms since the epoch. */
  readonly since: number;
}

/** Changes that are shown. */
const MAX_STATES = 500;

/**
 * Finds changes of state by what is in their keys, in the changelogs of tasks; what was compacted away since is not among
 * them. @throws ReachflowError as `readPartition`, `CHANGELOG_CORRUPT`.
 */
export async function findStates(
  client: KafkaClient,
  { tasks, needle, since }: StatesOptions,
): Promise<StateVisit[]> {
  const existing = await topicPartitions(client);
  const found: StateVisit[] = [];
  const wanted = Buffer.from(needle).toString('latin1');
  for (const task of tasks) {
    const topic = changelogOf(task.pipeline, task.subTopology);
    const { partition } = task;
    if (partition >= (existing.get(topic) ?? 0)) continue;
    const { low, lastStable: to } = await partitionOffsets(client, topic, partition);
    const [start] = await offsetsAtTime(client, [{ topic, partition }], since);
    const isLater = start !== undefined && start > low;
    const from = isLater ? start : start === undefined ? to : low;
    await readPartition(client, {
      ...{ topic, partition, from, to },
      onRecords: (records) => {
        for (const { offset, value } of records) {
          if (value === null || found.length >= MAX_STATES) continue;
          found.push(
            ...changesIn(value, `${topic}[${partition}]@${offset}`, wanted).map((change) => ({
              ...task,
              offset,
              ...change,
            })),
          );
        }
      },
    });
  }
  return found;
}

type Change = Pick<StateVisit, 'epoch' | 'store' | 'change' | 'bytes'>;

function changesIn(value: Buffer, where: string, wanted: string): Change[] {
  const segment = readSegment(value, where);
  const changes: Change[] = [];
  segment.forEach((store, key, _bytes, start, end) => {
    if (!key.includes(wanted)) return;
    const name = segment.stores[store]?.name ?? '';
    const isDeleted = start < 0;
    changes.push({
      epoch: segment.epoch,
      store: name,
      change: isDeleted ? 'deleted' : 'set',
      bytes: isDeleted ? 0 : end - start,
    });
  });
  return changes;
}
