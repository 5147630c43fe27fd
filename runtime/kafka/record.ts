import type kafkajs from 'kafkajs';

export interface TopicPartition {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
}

/** A record as the broker has it: bytes, with its position. */
export interface KafkaRecord {
  readonly offset: bigint;
  /** ms since the epoch. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer>>;
}

/** Records of one partition, offsets ascending, possibly with gaps (compaction, transaction markers). */
export interface PartitionBatch {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly KafkaRecord[];
  /** Where this was fetched from: before the first record, or at it. */
  readonly fetchedFrom: bigint;
  /** Next offset of the partition when this was fetched, undecided transactions included. */
  readonly highWatermark: bigint;
  /** Where reading goes on: behind the last record and the transaction marker after it, if there is one. */
  readonly nextOffset: bigint;
}

/** A record on its way to a topic. */
export interface OutgoingRecord {
  /** Logical topic name. */
  readonly topic: string;
  /** Chosen by the key's murmur2 hash when absent. */
  readonly partition?: number;
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, string | Buffer>>;
  readonly timestamp?: number;
}

/** Bytes that a record takes in a batch, roughly: what batches are bounded by. */
export function recordBytes(record: OutgoingRecord): number {
  const key = record.key === null ? 0 : record.key.length;
  let headers = 0;
  for (const [name, value] of Object.entries(record.headers ?? {}))
    headers += name.length + value.length + 4;
  return key + (record.value?.length ?? 0) + headers + 24;
}

export function toMessage(record: OutgoingRecord): kafkajs.Message {
  return {
    key: record.key,
    value: record.value,
    ...(record.partition === undefined ? {} : { partition: record.partition }),
    ...(record.headers === undefined ? {} : { headers: { ...record.headers } }),
    ...(record.timestamp === undefined ? {} : { timestamp: String(record.timestamp) }),
  };
}

/** Largest produce request that we build; the brokers' default limit for a batch is 1 MB. */
const MAX_REQUEST_BYTES = 700_000;

/**
 * Groups records by topic into requests of bounded size, order kept. KafkaJS never splits a batch, and one
 * that is over the broker's limit fails for good. A record larger than the bound goes alone.
 */
export function toRequests(
  records: readonly OutgoingRecord[],
  physical: (topic: string) => string,
): kafkajs.TopicMessages[][] {
  const requests: kafkajs.TopicMessages[][] = [];
  let byTopic = new Map<string, kafkajs.Message[]>();
  let bytes = 0;
  const flush = () => {
    if (byTopic.size === 0) return;
    requests.push([...byTopic].map(([topic, messages]) => ({ topic: physical(topic), messages })));
    byTopic = new Map();
    bytes = 0;
  };
  for (const record of records) {
    const size = recordBytes(record);
    if (bytes + size > MAX_REQUEST_BYTES) flush();
    let messages = byTopic.get(record.topic);
    if (messages === undefined) {
      messages = [];
      byTopic.set(record.topic, messages);
    }
    messages.push(toMessage(record));
    bytes += size;
  }
  flush();
  return requests;
}
