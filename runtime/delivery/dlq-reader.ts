import { topicPartitions } from '../kafka/admin.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { readTopic } from '../kafka/reader.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import { type DeadLetterInfo, deadLetterInfo } from './dead-letter.ts';

/** A record in a DLQ, with its position there. */
export interface DeadLetter {
  readonly dlq: string;
  readonly dlqPartition: number;
  readonly dlqOffset: bigint;
  readonly info: DeadLetterInfo;
  readonly record: KafkaRecord;
}

/** Logical names of the DLQ topics, or of those whose name contains `filter`. */
export async function dlqTopics(client: KafkaClient, filter = ''): Promise<string[]> {
  const topics = [...(await topicPartitions(client)).keys()];
  return topics.filter((name) => name.endsWith('.dlq') && name.includes(filter)).sort();
}

/**
 * Reads what a DLQ holds, oldest first in each partition.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`.
 */
export async function readDlq(
  client: KafkaClient,
  dlq: string,
  onLetter: (letter: DeadLetter) => void,
): Promise<void> {
  await readTopic(client, {
    topic: dlq,
    onRecord: (record, partition) =>
      onLetter({
        dlq,
        dlqPartition: partition,
        dlqOffset: record.offset,
        info: deadLetterInfo(record),
        record,
      }),
  });
}
