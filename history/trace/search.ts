import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { LazyRecord } from '../../runtime/kafka/lazy-record.ts';
import { partitionOfKey } from '../../runtime/kafka/murmur2.ts';
import { manyPartitionOffsets, offsetsAtTime } from '../../runtime/kafka/partition-offsets.ts';
import { readPartitionLazily } from '../../runtime/kafka/partition-reader.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { isTopicName, type TopicName, topics } from '../../schemas/topics.ts';

/** A topic to be searched, with the topic of the map whose records it has. */
export interface SearchedTopic {
  /** Logical name. */
  readonly topic: string;
  readonly base: TopicName;
  readonly partitions: number;
}

/** A record that may be meant. */
export interface Hit extends SearchedTopic {
  readonly partition: number;
  /** With bytes of its own. */
  readonly record: LazyRecord;
}

export interface SearchDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
}

export interface SearchOptions {
  readonly topics: readonly SearchedTopic[];
  /** Of the records; each is looked for only in the partition that it belongs to. 'all' looks through all partitions. */
  readonly keys: readonly string[] | 'all';
  /** In a value. */
  readonly needle: string;
  /** Whether a record with one of the keys is meant whatever is in it. */
  readonly byKey: boolean;
  /** Timestamps, ms since the epoch. */
  readonly since: number;
  readonly onProgress?: ((topic: string, share: number, bytes: number) => void) | undefined;
}

/** What a search looks through and finds; several add up. */
export class SearchResult {
  readonly hits = new Map<string, Hit>();
  partitions = 0;
  records = 0;
  bytes = 0;
  isTruncated = false;

  add(hit: Hit): void {
    if (this.hits.size >= MAX_HITS) this.isTruncated = true;
    else this.hits.set(`${hit.topic}[${hit.partition}]@${hit.record.offset}`, hit);
  }
}

/** Records that are shown of one key or id. */
const MAX_HITS = 2_000;

/** Looks for records. @throws ReachflowError as `readPartition`, `REGISTRY_UNAVAILABLE`. */
export async function search(
  deps: SearchDeps,
  options: SearchOptions,
  into: SearchResult,
): Promise<void> {
  const stretches = options.topics.flatMap((topic) =>
    partitionsOf(topic, options.keys).map((partition) => ({ ...topic, partition })),
  );
  const [offsets, starts] = await Promise.all([
    manyPartitionOffsets(deps.client, stretches),
    offsetsAtTime(deps.client, stretches, options.since),
  ]);
  for (const [i, stretch] of stretches.entries()) {
    const { low = 0n, lastStable: to = 0n } = offsets[i] ?? {};
    const start = starts[i] ?? to;
    const isLater = start > low;
    const from = isLater ? start : low;
    options.onProgress?.(stretch.topic, i / stretches.length, into.bytes);
    if (from >= to) continue;
    into.partitions += 1;
    await searchPartition(deps, options, { ...stretch, from, to }, into);
  }
}

/** Avro keys are bytes of a schema that only their writer knows: their partition cannot be told. */
function partitionsOf({ base, partitions }: SearchedTopic, keys: SearchOptions['keys']): number[] {
  if (keys === 'all' || topics[base].keyFormat !== 'string')
    return Array.from({ length: partitions }, (_, partition) => partition);
  return [...new Set(keys.map((key) => partitionOfKey(key, partitions)))];
}

type Stretch = SearchedTopic & {
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
};

async function searchPartition(
  { client, codec }: SearchDeps,
  { keys, needle, byKey }: SearchOptions,
  { from, to, ...place }: Stretch,
  into: SearchResult,
): Promise<void> {
  const bytes = Buffer.from(needle);
  const isText = topics[place.base].keyFormat === 'string';
  const wanted = keys === 'all' ? [] : keys.map((key) => Buffer.from(key));
  const hasKey = (record: LazyRecord): boolean => {
    const { key } = record;
    if (key === null) return false;
    if (isText) return wanted.some((each) => each.equals(key));
    return keys !== 'all' && keys.includes(codec.decodeKey(place.base, key));
  };
  const { topic, partition } = place;
  await readPartitionLazily(client, {
    ...{ topic, partition, from, to },
    onRecords: async (records) => {
      if (!isText && byKey)
        await codec.load(
          place.base,
          [],
          records.map(({ key }) => key),
        );
      for (const record of records) {
        into.records += 1;
        into.bytes += record.bytes;
        if ((byKey && hasKey(record)) || record.value?.includes(bytes) === true)
          into.add({ ...place, record: record.copy() });
      }
    },
  });
}

/** The topics of the map that the brokers have, each with its DLQs and retry topics. */
export function searchedTopics(
  existing: ReadonlyMap<string, number>,
  filter = '',
): SearchedTopic[] {
  return [...existing].flatMap(([topic, partitions]) => {
    if (!topic.includes(filter)) return [];
    const base = isTopicName(topic) ? topic : baseOf(topic);
    return base === undefined ? [] : [{ topic, base, partitions }];
  });
}

/** Of `<topic>.<consumer>.dlq` and `.retry`. */
function baseOf(topic: string): TopicName | undefined {
  const [, base = ''] = /^(.+)\.[^.]+\.(?:dlq|retry)$/.exec(topic) ?? [];
  return isTopicName(base) ? base : undefined;
}
