import { DLQ_RETENTION_MS, dlqOf, isTopicName, retryOf, topics } from '../../schemas/topics.ts';
import type { TopicPlan } from '../kafka/admin.ts';

/** Largest batch of internal topics: a packed record or a segment has at most about 700 KB. */
export const INTERNAL_BYTES = 1_048_576;
/** What the headers of a failure take beside the record, at most. */
const HEADER_BYTES = 65_536;

/** A topic of another one's records, each with the headers that say why it is there. */
function letters(name: string, topic: string, partitions: number): TopicPlan {
  const recordBytes = isTopicName(topic) ? topics[topic].maxMessageBytes : INTERNAL_BYTES;
  return {
    name,
    cleanup: 'delete',
    retentionMs: DLQ_RETENTION_MS,
    maxMessageBytes: recordBytes + HEADER_BYTES,
    partitions,
  };
}

/** Where letters of a DLQ come back to their consumer, and sinks keep what they could not write yet. */
export function retryTopicOf(dlq: string, partitions: number): TopicPlan {
  const [, topic = dlq, consumer = ''] = /^(.+)\.([^.]+)\.dlq$/.exec(dlq) ?? [];
  const plan = letters(retryOf(topic, consumer), topic, partitions);
  // A letter may fill its DLQ's limit, and comes back with a header more.
  return { ...plan, maxMessageBytes: plan.maxMessageBytes + HEADER_BYTES };
}

/** The DLQ of a consumer of a topic, and its retry topic. @param topic logical name, also of a repartition topic. */
export function letterTopics(topic: string, consumer: string, partitions: number): TopicPlan[] {
  const dlq = dlqOf(topic, consumer);
  return [letters(dlq, topic, partitions), retryTopicOf(dlq, partitions)];
}
