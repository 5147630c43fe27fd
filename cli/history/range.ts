import { InvalidArgumentError } from 'commander';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { offsetsAtTime } from '../../runtime/kafka/partition-offsets.ts';
import { parseSince } from '../dlq/since.ts';

/** Where a range begins or ends: an offset, or a time in ms since the epoch. */
export type Bound = { readonly offset: bigint } | { readonly time: number };

/** Parses an option: digits are an offset; 30m, 2h, 7d are so long ago; else an ISO time. @throws InvalidArgumentError. */
export function parseBound(text: string): Bound {
  return /^\d{1,19}$/.test(text) ? { offset: BigInt(text) } : { time: parseSince(text) };
}

/** The offset of a bound in each partition; undefined where it is behind all records, or there is no bound. */
export async function resolveBound(
  client: KafkaClient,
  topic: string,
  partitions: readonly number[],
  bound: Bound | undefined,
): Promise<ReadonlyMap<number, bigint | undefined>> {
  if (bound === undefined) return new Map();
  if ('offset' in bound) return new Map(partitions.map((partition) => [partition, bound.offset]));
  const sources = partitions.map((partition) => ({ topic, partition }));
  const offsets = await offsetsAtTime(client, sources, bound.time);
  return new Map(partitions.map((partition, i) => [partition, offsets[i]]));
}

const PLACE = /^(\d{1,6})@(\d{1,19})$/;

/** Parses `PARTITION@OFFSET`. @throws InvalidArgumentError. */
export function parsePlace(text: string): { readonly partition: number; readonly offset: bigint } {
  const [, partition, offset] = PLACE.exec(text) ?? [];
  if (partition === undefined || offset === undefined)
    throw new InvalidArgumentError('PARTITION@OFFSET, for example 3@1042');
  return { partition: Number(partition), offset: BigInt(offset) };
}
