import { deadLetter } from '../../runtime/delivery/dead-letter.ts';
import { TRUNCATED_HEADER } from '../../runtime/delivery/letter-size.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { partitionOffsets } from '../../runtime/kafka/partition-offsets.ts';
import { readPartition } from '../../runtime/kafka/partition-reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import { dlqOf } from '../../schemas/topics.ts';

/** A letter to write: of a record of `topic`. */
export interface LetterSpec {
  readonly partition: number;
  /** Of the record that failed. */
  readonly offset: number;
  readonly key: string;
  readonly code?: string;
  /** That gave up; `write` when absent. */
  readonly step?: string;
  readonly replays?: number;
  /** When it was written, ms; some time ago when absent. */
  readonly timestamp?: number;
  /** Its value is not whole. */
  readonly truncated?: boolean;
}

/** Writes dead letters of one consumer, as its own delivery would. @param value bytes of each record. */
export async function writeLetters(
  client: KafkaClient,
  topic: string,
  consumer: string,
  specs: readonly LetterSpec[],
  value: (spec: LetterSpec) => Buffer = ({ key }) => Buffer.from(key),
): Promise<void> {
  const name = dlqOf(topic, consumer);
  const [cleanup, retentionMs, maxMessageBytes] = ['delete' as const, -1, 1_048_576];
  await ensureTopics(client, [{ name, partitions: 4, cleanup, retentionMs, maxMessageBytes }]);
  const producer = await EpochProducer.open(client, `letters.${name}`);
  try {
    for (let from = 0; from < specs.length; from += 5_000) {
      const batch = producer.begin();
      for (const spec of specs.slice(from, from + 5_000)) {
        const { partition, offset, key, code = 'BROKEN', step = 'write', replays = 0 } = spec;
        const record: KafkaRecord = {
          offset: BigInt(offset),
          timestamp: spec.timestamp ?? 1_767_225_600_000 + offset,
          key: Buffer.from(key),
          value: value(spec),
          headers: {
            '__reachflow.errors.replay_count': Buffer.from(String(replays)),
            ...(spec.truncated === true ? { [TRUNCATED_HEADER]: Buffer.from('value') } : {}),
          },
        };
        const error = new ReachflowError(`it is ${code}`, { code, domain: 'user' });
        const failure = { topic, partition, record, consumer, step, error, attempts: 1 };
        const letter = deadLetter({ ...failure, firstFailure: Date.now() });
        const { headers } = letter;
        batch.append(name, partition, record.key, record.value, Date.now(), headers);
      }
      await producer.commit(batch, []);
    }
  } finally {
    await producer.close();
  }
  // Its answer says that the markers of what was committed are written: readers see all of it.
  await (await EpochProducer.open(client, `letters.${name}`)).close();
}

/** All committed records of a partition. */
export async function recordsOf(
  client: KafkaClient,
  topic: string,
  partition: number,
): Promise<KafkaRecord[]> {
  const found: KafkaRecord[] = [];
  const { low, high } = await partitionOffsets(client, topic, partition);
  await readPartition(client, {
    topic,
    partition,
    from: low,
    to: high,
    onRecords: (records) => void found.push(...records),
  });
  return found;
}
