/** Where a record is: `<topic>/<partition>/<offset>`. */
export function positionKey(topic: string, partition: number, offset: bigint | string): string {
  return `${topic}/${partition}/${offset}`;
}

/** A record of a source topic as verification sees it. */
export interface SourceRecord<V> {
  readonly partition: number;
  readonly offset: bigint;
  /** Kafka's timestamp of the record, ms since the epoch. */
  readonly timestamp: number;
  /** Null for a tombstone, undefined when the bytes cannot be decoded. */
  readonly value: V | null | undefined;
  /** MD5 of the value's bytes, in hex: a dead letter has to have the same. */
  readonly digest: string;
}

/** Records that must be in a DLQ: `<dlq topic>|<position of the original>` → what is wrong, digest of its bytes. */
export type Rejections = Map<
  string,
  { readonly reasons: readonly string[]; readonly digest: string }
>;

/** Notes that a consumer has to reject a record. */
export function reject(
  rejections: Rejections,
  topic: string,
  consumer: string,
  record: SourceRecord<unknown>,
  reasons: readonly string[],
): void {
  const position = positionKey(topic, record.partition, record.offset);
  rejections.set(`${topic}.${consumer}.dlq|${position}`, { reasons, digest: record.digest });
}
