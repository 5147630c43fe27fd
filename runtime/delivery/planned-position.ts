import { createHash } from 'node:crypto';
import type { KafkaRecord } from '../kafka/record.ts';
import { type GroupPositions, type PositionProtocol, startOf } from './position.ts';

/** The metadata of an offset commit that says where the range about to be written ends. */
export function planMetadata(end: bigint): string {
  return `plan:${end}`;
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

/** The end in such metadata; undefined in any other. */
export function plannedEnd(metadata: string): bigint | undefined {
  const end = /^plan:(\d{1,19})$/.exec(metadata)?.[1];
  return end === undefined ? undefined : BigInt(end);
}

/**
 * For stores that drop a range which comes again as it was: the range is in the group's offset metadata before it is
 * written, so whoever goes on after a crash writes that same range. One commit a batch: the end of one carries the plan of the
 * next where that is known. A member of an older generation cannot plan any more: the broker refuses its commit.
 */
export function plannedPosition(group: GroupPositions): PositionProtocol {
  /** What is committed, as text. */
  let committed = '';
  const commit = async (offset: bigint, end: bigint | undefined) => {
    const metadata = end === undefined ? '' : planMetadata(end);
    const wanted = `${offset} ${metadata}`;
    if (wanted === committed) return;
    await group.commit(offset, metadata);
    committed = wanted;
  };
  return {
    async open() {
      const found = await group.committed();
      const end = plannedEnd(found.metadata);
      const start = { ...startOf(found), epoch: 0n };
      committed = `${start.position} ${found.metadata}`;
      // What does not reach to its end any more, in a topic made anew or cut short, cannot come again as it was.
      const isThere = end !== undefined && end > start.from && end <= found.high;
      return isThere ? { ...start, plannedEnd: end } : start;
    },
    begin: ({ start, end }) => commit(start, end),
    end: ({ end }, nextEnd) => commit(end, nextEnd),
    idle: (position) => commit(position, undefined),
  };
}
