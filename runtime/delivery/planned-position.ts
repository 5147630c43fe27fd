import { createHash } from 'node:crypto';
import type { KafkaRecord } from '../kafka/record.ts';
import {
  committedOf,
  type GroupPositions,
  type PlannedRange,
  type PositionProtocol,
  startOf,
} from './position.ts';

/** The metadata of an offset commit that says which range is about to be written from that offset on. */
export function planMetadata({ end, origin, seen }: PlannedRange): string {
  return origin === undefined ? `plan:${end}` : `plan:${end}:${origin}:${seen ?? ''}`;
}

/**
 * Digest of where records come from, not of what is in them or becomes of them: offsets and timestamps. A topic that was
 * made anew counts its offsets from 0 again, at other times.
 */
export function originOf(records: readonly KafkaRecord[]): string {
  const bytes = Buffer.alloc(records.length * 16);
  for (const [i, { offset, timestamp }] of records.entries()) {
    bytes.writeBigInt64LE(offset, i * 16);
    bytes.writeBigInt64LE(BigInt(timestamp), i * 16 + 8);
  }
  return createHash('sha1').update(bytes).digest('base64url');
}

/** The range in such metadata; undefined in any other. */
export function plannedRange(metadata: string): PlannedRange | undefined {
  const [, end, origin, seen] =
    /^plan:(\d{1,19})(?::([\w-]{1,64}):(\d{0,19}))?$/.exec(metadata) ?? [];
  if (end === undefined) return undefined;
  return {
    end: BigInt(end),
    origin,
    seen: seen === undefined || seen === '' ? undefined : BigInt(seen),
  };
}

/**
 * For stores that drop a range which comes again as it was: the range is in the group's offset metadata before it is
 * written, so whoever goes on after a crash writes that same range, by the name that it had: also when retention or
 * compaction has deleted some of it meanwhile. One commit a batch: the end of one carries the plan of the next where that is
 * known. A member of an older generation cannot plan any more: the broker refuses its commit.
 */
export function plannedPosition(
  group: GroupPositions,
  topic: string,
  partition: number,
): PositionProtocol {
  /** As far as we know. */
  let committed: { readonly offset: bigint; readonly plan: PlannedRange | undefined } | undefined;
  const commit = async (offset: bigint, plan: PlannedRange | undefined) => {
    await group.commit(offset, plan === undefined ? '' : planMetadata(plan));
    committed = { offset, plan };
  };
  const isCommitted = (offset: bigint, plan?: Pick<PlannedRange, 'end' | 'origin'>) =>
    committed?.offset === offset &&
    committed.plan?.end === plan?.end &&
    committed.plan?.origin === plan?.origin;
  return {
    async open() {
      const found = await committedOf(group, topic, partition);
      const start = { ...startOf(found), epoch: 0n };
      const planned = plannedRange(found.metadata);
      // What does not reach to its end any more, in a topic made anew or cut short, cannot come again as it was.
      const isThere =
        planned !== undefined && planned.end > start.from && planned.end <= found.high;
      if (planned === undefined || isThere) committed = { offset: start.position, plan: planned };
      if (!isThere) return start;
      // The records tell a topic made anew where the broker does not, as long as none of them is deleted.
      const isNamed = found.isOfTopic || start.from > start.position;
      return { ...start, planned: isNamed ? planned : { ...planned, origin: undefined } };
    },
    async begin(range, seen, isLess) {
      const { start, end, origin } = range;
      if (isLess || !isCommitted(start, range)) await commit(start, { end, origin, seen });
    },
    async end({ end }, next) {
      if (next !== undefined || !isCommitted(end)) await commit(end, next);
    },
    async idle(position) {
      if (!isCommitted(position)) await commit(position, undefined);
    },
  };
}
