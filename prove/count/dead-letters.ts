import { topicOffsets, topicPartitions } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';

/** Records in all DLQs of the namespace. */
export async function countDeadLetters(client: KafkaClient): Promise<number> {
  let letters = 0;
  for (const topic of (await topicPartitions(client)).keys()) {
    if (!topic.endsWith('.dlq')) continue;
    const offsets = await topicOffsets(client, topic);
    if (offsets.every(({ low, high }) => high <= low)) continue;
    await readTopic(client, {
      topic,
      onRecord: () => {
        letters += 1;
      },
    });
  }
  return letters;
}
