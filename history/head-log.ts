import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import { ensureTopics, topicPartitions } from '../runtime/kafka/admin.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { IdempotentProducer } from '../runtime/kafka/idempotent-producer.ts';
import { readTopic } from '../runtime/kafka/reader.ts';
import { HISTORY_HEAD_TOPIC } from '../schemas/topics.ts';
import { type Head, headFromJson, headToJson } from './head.ts';

/** What the log of heads holds of a topic. */
export interface RecordedHeads {
  /** By offset, ascending. */
  readonly heads: readonly Head[];
  /** What stands where a head should: its key, and why it is none. */
  readonly broken: readonly { readonly key: string; readonly problem: string }[];
}

/** Heads that are read of one topic at most: beyond that, too many were recorded to be of use. */
const MAX_HEADS = 1_000_000;

/** One head for each of these; recording it again replaces it. */
function keyOf({ topic, partition, topicId, origin, nextOffset }: Head): string {
  return `${topic}/${partition}/${topicId ?? ''}/${origin}/${nextOffset}`;
}

/**
 * Reads the heads that were recorded of a topic; none when there is no log of heads yet.
 * @throws ReachflowError `KAFKA_UNAVAILABLE`, `READ_STALLED`; `HISTORY_HEADS_TOO_MANY`.
 */
export async function readHeads(client: KafkaClient, topic: string): Promise<RecordedHeads> {
  if (!(await topicPartitions(client)).has(HISTORY_HEAD_TOPIC)) return { heads: [], broken: [] };
  const heads = new Map<string, Head>();
  const broken = new Map<string, string>();
  await readTopic(client, {
    topic: HISTORY_HEAD_TOPIC,
    onRecord: ({ key, value }) => {
      const name = key?.toString('utf8') ?? '';
      if (!name.startsWith(`${topic}/`)) return;
      heads.delete(name);
      broken.delete(name);
      if (value === null) return;
      try {
        const head = headFromJson(JSON.parse(value.toString('utf8')));
        if (keyOf(head) === name) heads.set(name, head);
        else broken.set(name, 'it is a head of another place');
      } catch (error) {
        broken.set(name, errorMessage(error));
      }
      if (heads.size > MAX_HEADS) throw tooMany(topic);
    },
  });
  return {
    heads: [...heads.values()].sort((a, b) => compare(a.nextOffset, b.nextOffset)),
    broken: [...broken].map(([key, problem]) => ({ key, problem })),
  };
}

/** Records heads, durably. The log of heads is created where it is missing. @throws ReachflowError `KAFKA_UNAVAILABLE`. */
export async function recordHeads(client: KafkaClient, heads: readonly Head[]): Promise<void> {
  if (heads.length === 0) return;
  await ensureTopics(client, [
    {
      name: HISTORY_HEAD_TOPIC,
      partitions: 1,
      cleanup: 'compact',
      retentionMs: -1,
      maxMessageBytes: 1_048_576,
    },
  ]);
  const timeoutMs = client.config.ackTimeoutMs;
  const producer = await IdempotentProducer.open(client, { timeoutMs });
  try {
    await producer.send(
      heads.map((head) => ({
        topic: HISTORY_HEAD_TOPIC,
        partition: 0,
        key: keyOf(head),
        value: Buffer.from(JSON.stringify(headToJson(head))),
      })),
    );
  } finally {
    producer.close();
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function tooMany(topic: string): ReachflowError {
  return new ReachflowError(`more than ${MAX_HEADS} heads of ${topic} are recorded`, {
    code: 'HISTORY_HEADS_TOO_MANY',
    domain: 'user',
    hint: 'Record heads less often: one for some 10,000 records and an hour is plenty.',
  });
}
