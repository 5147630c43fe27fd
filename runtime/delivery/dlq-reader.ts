import { topicPartitions } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { manyPartitionOffsets } from '../kafka/partition-offsets.ts';
import { readPartition } from '../kafka/partition-reader.ts';
import { readTopic } from '../kafka/reader.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import { type DeadLetterInfo, deadLetterInfo } from './dead-letter.ts';
import type { Resolution, Resolutions } from './resolutions.ts';

/** A record in a DLQ, with its position there. */
export interface DeadLetter {
  readonly dlq: string;
  readonly dlqPartition: number;
  readonly dlqOffset: bigint;
  readonly info: DeadLetterInfo;
  readonly record: KafkaRecord;
  /** What was done with it; absent when nothing. */
  readonly resolution?: Resolution;
}

/** A stretch of a DLQ's partition. */
export interface DlqStretch {
  readonly dlq: string;
  readonly partition: number;
  readonly from: bigint;
  /** Exclusive: what fails later is not part of it. */
  readonly to: bigint;
}

/** Logical names of the DLQ topics, or of those whose name contains `filter`. */
export async function dlqTopics(client: KafkaClient, filter = ''): Promise<string[]> {
  const topics = [...(await topicPartitions(client)).keys()];
  return topics.filter((name) => name.endsWith('.dlq') && name.includes(filter)).sort();
}

/** What the DLQs hold now, partition by partition; those that are empty left out. @throws `KAFKA_UNAVAILABLE`. */
export async function dlqStretches(
  client: KafkaClient,
  dlqs: readonly string[],
): Promise<DlqStretch[]> {
  const widths = await topicPartitions(client);
  const partitions = dlqs.flatMap((topic) =>
    Array.from({ length: widths.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
  );
  const offsets = await manyPartitionOffsets(client, partitions);
  return partitions.flatMap(({ topic: dlq, partition }, i) => {
    const { low: from = 0n, lastStable: to = 0n } = offsets[i] ?? {};
    return to > from ? [{ dlq, partition, from, to }] : [];
  });
}

/** Letters that are remembered to tell repeats, twice at most: a crash repeats what came just before it. */
const REMEMBERED = 50_000;

/**
 * Knows the letters of a partition that came lately. A crash between a letter's acknowledgement and its consumer's
 * position writes the letter again: the same origin, consumer and count of replays.
 */
export class RecentLetters {
  #new = new Set<string>();
  #old = new Set<string>();

  /** Whether it is a repeat; remembers it when not. */
  isRepeat({ consumer, topic, partition, offset, replayCount }: DeadLetterInfo): boolean {
    const name = `${consumer}/${topic}/${partition}/${offset}/${replayCount}`;
    if (this.#new.has(name) || this.#old.has(name)) return true;
    this.#new.add(name);
    if (this.#new.size >= REMEMBERED) {
      this.#old = this.#new;
      this.#new = new Set();
    }
    return false;
  }
}

/**
 * Reads letters in the order in which they were written, each once however often a crash wrote it, and tells what was
 * done with them. The next ones are read when `onLetters` has resolved; their bytes are views of a few MB.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED`, and what `onLetters` throws.
 */
export async function readLetters(
  client: KafkaClient,
  { dlq, partition, from, to }: DlqStretch,
  resolutions: Resolutions,
  onLetters: (letters: readonly DeadLetter[]) => Promise<void> | void,
): Promise<void> {
  const recent = new RecentLetters();
  await readPartition(client, {
    topic: dlq,
    partition,
    from,
    to,
    onRecords: async (records) => {
      const letters = records.flatMap((record) => {
        const info = deadLetterInfo(record);
        if (recent.isRepeat(info)) return [];
        const { offset: dlqOffset } = record;
        const resolution = resolutions.of(dlq, partition, dlqOffset, info.lastFailure);
        const letter = { dlq, dlqPartition: partition, dlqOffset, info, record };
        return [resolution === undefined ? letter : { ...letter, resolution }];
      });
      if (letters.length > 0) await onLetters(letters);
    },
  });
}

/**
 * Reads all that a DLQ holds as it is, repeats included, oldest first in each partition.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function readDlq(
  client: KafkaClient,
  dlq: string,
  onLetter: (letter: DeadLetter) => void,
): Promise<void> {
  await readTopic(client, {
    topic: dlq,
    onRecord: (record, dlqPartition) => {
      const info = deadLetterInfo(record);
      onLetter({ dlq, dlqPartition, dlqOffset: record.offset, info, record });
    },
  });
}
