import { z } from 'zod';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { partitionOffsets } from '../../runtime/kafka/partition-offsets.ts';
import { readPartition } from '../../runtime/kafka/partition-reader.ts';
import { POLL_POSITIONS_TOPIC } from '../../schemas/topics.ts';

const positionSchema = z.object({
  /** Of the paging that it is of. */
  kind: z.enum(['none', 'cursor', 'link', 'page', 'offset']),
  /** The page to get: its cursor, URL, number or offset; null for the first. */
  at: z.union([z.string(), z.number()]).nullable(),
  /** Records of that page that are published already. */
  taken: z.int().min(0),
  /** Of the last whole answer, and of which URL: nothing new comes while they hold. */
  validators: z
    .object({ url: z.string(), etag: z.string().optional(), lastModified: z.string().optional() })
    .optional(),
});

/** How far a source is: all before it is in the topic, once. */
export type Position = z.output<typeof positionSchema>;

/** As the value of a record. */
export function encodePosition(position: Position): Buffer {
  return Buffer.from(JSON.stringify(position));
}

/**
 * The last committed position of a source. Its writer's transactional id has to be claimed before: then nobody else moves it.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED` (retry: backoff); ZodError for a value that we did not write.
 */
export async function readPosition(
  client: KafkaClient,
  partition: number,
  source: string,
  signal: AbortSignal,
): Promise<Position | undefined> {
  const topic = POLL_POSITIONS_TOPIC;
  const { low: from } = await partitionOffsets(client, topic, partition);
  let found: Position | undefined;
  await readPartition(client, {
    topic,
    partition,
    from,
    signal,
    onRecords: (records) => {
      for (const { key, value } of records)
        if (String(key) === source && value !== null)
          found = positionSchema.parse(JSON.parse(value.toString()));
    },
  });
  return found;
}
