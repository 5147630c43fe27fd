import { ReachflowError } from '../runtime/errors.ts';
import { topicOffsets } from '../runtime/kafka/admin.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { readChunk } from '../runtime/kafka/partition-reader.ts';
import { offsetsAt } from '../runtime/kafka/range-admin.ts';
import { type TopicName, topics } from '../schemas/topics.ts';
import type { OffsetsByTopic } from './journal.ts';

/** Where a range begins or ends: at its topic's, at a time (ms since the epoch), or at an offset of each partition. */
export type Edge =
  | { readonly at: 'end' }
  | { readonly at: 'beginning' }
  | { readonly at: 'time'; readonly time: number }
  | { readonly at: 'offset'; readonly offset: bigint };

/** By topic, the offsets of each partition. */
export type Offsets = ReadonlyMap<TopicName, readonly bigint[]>;

/** Offsets as the journal has them. */
export function journaled(offsets: Offsets): OffsetsByTopic {
  return Object.fromEntries([...offsets].map(([topic, own]) => [topic, own.map(String)]));
}

/** How many records of a first batch are read to see how old it is, bytes. */
const FIRST_BYTES = 65_536;

/**
 * The offsets of an edge, within what is there.
 * @throws ReachflowError `REPLAY_RANGE_CUT` when retention has deleted some of it, with what is left.
 */
export async function offsetsOf(
  client: KafkaClient,
  inputs: readonly TopicName[],
  edge: Edge,
): Promise<Offsets> {
  const found = new Map<TopicName, readonly bigint[]>();
  for (const topic of inputs) found.set(topic, await edgeOf(client, topic, edge));
  return found;
}

async function edgeOf(client: KafkaClient, topic: TopicName, edge: Edge): Promise<bigint[]> {
  const there = await topicOffsets(client, topic);
  if (edge.at === 'beginning') return there.map(({ low }) => low);
  if (edge.at === 'end') return there.map(({ high }) => high);
  if (edge.at === 'offset') {
    const cut = there.find(({ low }) => edge.offset < low);
    if (cut !== undefined) throw rangeCut(topic, cut.partition, `offset ${cut.low}`);
    return there.map(({ high }) => within(edge.offset, 0n, high));
  }
  const offsets = await offsetsAt(client, topic, edge.time);
  for (const { partition, low, high } of there) {
    // Compaction keeps the newest of each key: what is gone was superseded.
    const mayBeCut = low > 0n && low < high && topics[topic].cleanup === 'delete';
    if (!mayBeCut || (offsets[partition] ?? low) > low) continue;
    const first = await firstTime(client, topic, partition, low);
    if (first > edge.time) throw rangeCut(topic, partition, new Date(first).toISOString());
  }
  return there.map(({ partition, low, high }) => {
    const offset = offsets[partition] ?? high;
    return within(offset, low, high);
  });
}

/** `Math.min` and `Math.max` take no bigint. */
function within(offset: bigint, low: bigint, high: bigint): bigint {
  if (offset < low) return low;
  if (offset > high) return high;
  return offset;
}

async function firstTime(
  client: KafkaClient,
  topic: TopicName,
  partition: number,
  from: bigint,
): Promise<number> {
  const { records } = await readChunk(client, { topic, partition, from, maxBytes: FIRST_BYTES });
  return records[0]?.timestamp ?? 0;
}

function rangeCut(topic: string, partition: number, left: string): ReachflowError {
  return new ReachflowError(
    `the range begins before what retention has left: ${topic}[${partition}] begins at ${left}`,
    {
      code: 'REPLAY_RANGE_CUT',
      domain: 'user',
      hint: 'Begin there, or later (--from); `--from earliest` takes all that is left.',
    },
  );
}
