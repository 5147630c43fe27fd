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
