import { ReachflowError } from '../errors.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { partitionOffsets } from '../kafka/partition-offsets.ts';
import { readPartition } from '../kafka/partition-reader.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { ReadLetter } from './letter.ts';

/**
 * The value to send back for a letter: its own, or that of the record that it is of where the DLQ took only a part.
 * @throws ReachflowError `LETTER_TRUNCATED` (domain user) when that record is gone, `KAFKA_UNAVAILABLE`, `READ_STALLED`.
 */
export async function wholeValue(client: KafkaClient, letter: ReadLetter): Promise<Buffer | null> {
  if (letter.text('truncated') !== 'value') return letter.record.value;
  const { info, originOffset } = letter;
  const { topic, partition, timestamp } = info;
  const [from, to] = [BigInt(originOffset), BigInt(originOffset) + 1n];
  const { low, lastStable } = await partitionOffsets(client, topic, partition);
  let found: KafkaRecord | undefined;
  if (from >= low && to <= lastStable) {
    const onRecords = (records: readonly KafkaRecord[]) => {
      found ??= records.find(({ offset }) => offset === from);
    };
    await readPartition(client, { topic, partition, from, to, onRecords });
  }
  // In a topic made anew another record may have the offset.
  if (found?.timestamp === timestamp) return found.value;
  throw new ReachflowError(
    `the record of a letter that is not whole is gone: ${topic}[${partition}] offset ${originOffset}`,
    {
      code: 'LETTER_TRUNCATED',
      domain: 'user',
      hint: 'It was larger than its DLQ takes. Redrive the others by --where or --fingerprint; patch or drop this one.',
    },
  );
}
