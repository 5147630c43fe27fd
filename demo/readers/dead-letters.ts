import { DLQ_HEADER_PREFIX } from '../../runtime/delivery/dead-letter.ts';
import { dlqTopics, readDlq } from '../../runtime/delivery/dlq-reader.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import { topicOffsets } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { FoundDeadLetter } from '../verify/facts.ts';
import { positionKey } from '../verify/position.ts';
import { valueDigest } from './source-topics.ts';

/** Headers that say where a dead letter comes from, who gave up, and why. */
const REQUIRED_HEADERS = [
  'topic',
  'partition',
  'offset',
  'timestamp',
  'consumer',
  'step',
  'code',
  'message',
  'fingerprint',
  'attempts',
  'first_failure',
  'last_failure',
] as const;

/** All dead letters, by queue and position of the original. */
export async function readDeadLetters(client: KafkaClient): Promise<Map<string, FoundDeadLetter>> {
  const found = new Map<string, FoundDeadLetter>();
  for (const queue of await dlqTopics(client)) {
    const offsets = await topicOffsets(client, queue);
    if (offsets.every(({ low, high }) => low === high)) continue;
    await readDlq(client, queue, (letter) => addLetter(found, letter));
  }
  return found;
}

/** Notes a dead letter; a second one of the same original raises `copies`. */
export function addLetter(found: Map<string, FoundDeadLetter>, letter: DeadLetter): void {
  const { topic, partition, offset, code, message } = letter.info;
  const { headers, value } = letter.record;
  const key = `${letter.dlq}|${positionKey(topic, partition, offset)}`;
  found.set(key, {
    topic,
    code,
    message,
    digest: valueDigest(value),
    missingHeaders: REQUIRED_HEADERS.filter(
      (name) => (headers[DLQ_HEADER_PREFIX + name]?.length ?? 0) === 0,
    ),
    copies: (found.get(key)?.copies ?? 0) + 1,
  });
}
