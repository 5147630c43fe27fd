import { topicPartitions } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { manyPartitionOffsets } from '../kafka/partition-offsets.ts';
import { readPartitionLazily } from '../kafka/partition-reader.ts';
import { readTopic } from '../kafka/reader.ts';
import { deadLetterInfo } from './dead-letter.ts';
import { type DeadLetter, ReadLetter } from './letter.ts';
import type { Resolutions } from './resolutions.ts';

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
/** Counts of replays that are told apart; offsets times this stay exact up to 10^14. */
const REPLAYS = 64;

/**
 * Knows the letters of a DLQ's partition that came lately. A crash between a letter's acknowledgement and its consumer's
 * position writes the letter again: of the same step and offset, after as many replays. All letters of a DLQ's partition
 * are of one topic, partition and consumer. Those without a record behind them are a pipeline's, which writes each once.
 */
class RecentLetters {
  #new = new Map<string, Set<number>>();
  #old = new Map<string, Set<number>>();
  #remembered = 0;

  /** Whether it is a repeat; remembers it when not. */
  isRepeat(letter: ReadLetter): boolean {
    if (letter.originOffset < 0) return false;
    const step = letter.text('step');
    // Numbers, as there are many: a string of each would cost more than all else that is done with most letters.
    const name = letter.originOffset * REPLAYS + Math.min(letter.replayCount, REPLAYS - 1);
    if (this.#new.get(step)?.has(name) === true || this.#old.get(step)?.has(name) === true) {
      return true;
    }
    if (this.#remembered >= REMEMBERED) {
      this.#old = this.#new;
      this.#new = new Map();
      this.#remembered = 0;
    }
    const known = this.#new.get(step) ?? new Set();
    this.#new.set(step, known.add(name));
    this.#remembered += 1;
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
  onLetters: (letters: readonly ReadLetter[]) => Promise<void> | void,
): Promise<void> {
  const recent = new RecentLetters();
  await readPartitionLazily(client, {
    topic: dlq,
    partition,
    from,
    to,
    onRecords: async (records) => {
      const letters: ReadLetter[] = [];
      for (const record of records) {
        const letter = new ReadLetter(dlq, partition, record, resolutions);
        if (!recent.isRepeat(letter)) letters.push(letter);
      }
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
