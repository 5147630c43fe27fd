import { createHash } from 'node:crypto';
import type { SinkBatch, SinkRecord } from '../../runtime/delivery/sink.ts';
import { RowBinaryWriter } from './row-binary.ts';

/** About what a record's offset, timestamp and key take. */
const SOURCE_BYTES = 64;

/** Of where records beside the stream came from, not of what they are encoded to. */
function digestOf(records: readonly SinkRecord[]): string {
  const out = new RowBinaryWriter(records.length * SOURCE_BYTES);
  for (const { offset, timestamp, key } of records) {
    out.bigint64(offset);
    out.int64(timestamp);
    out.text(key);
  }
  return createHash('sha1').update(out.slice(0, out.position)).digest('base64url');
}

/**
 * Names a batch to the server, which drops a block whose token it remembers, whatever is in it. Batches of a range are
 * `topic-partition-start-end-origin`, so that a repeat has the same name though some of its records are parked or
 * dead-lettered by now, or were then; those beside the stream have the first and last offset behind a word of their own.
 */
export function batchToken({ topic, partition, range, records }: SinkBatch): string {
  if (range !== undefined) {
    return `${topic}-${partition}-${range.start}-${range.end}-${range.origin}`;
  }
  const [first, last] = [records[0]?.offset, records.at(-1)?.offset];
  return `${topic}-${partition}-beside-${first}-${last}-${digestOf(records)}`;
}

/**
 * Names a part of a batch that the server refused whole. Batches are halved by their records alone, so a repeat after
 * a crash comes to the same parts.
 */
export function partToken(token: string, { records }: SinkBatch, from: number, to: number): string {
  if (from === 0 && to === records.length) return token;
  return `${token}/${records[from]?.offset}-${records[to - 1]?.offset}`;
}
