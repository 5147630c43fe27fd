import { createHash } from 'node:crypto';
import type { SinkBatch, SinkRecord } from '../../runtime/delivery/sink.ts';

/**
 * Of where the records came from, not of what they are encoded to: the same range has the same digest after a restart
 * with another encoder, and another one in a topic that was made anew and counts its offsets from 0 again.
 */
function digestOf(records: readonly SinkRecord[]): string {
  const hash = createHash('sha1');
  let text = '';
  for (const { offset, timestamp, key } of records) text += `${offset} ${timestamp} ${key}\n`;
  return hash.update(text).digest('base64url');
}

/**
 * Names a batch to the server, which drops a block whose token it remembers, whatever is in it. Batches of a range are
 * `topic-partition-start-end-digest`; those beside the stream have the first and last offset behind a word of their own.
 */
export function batchToken({ topic, partition, range, records }: SinkBatch): string {
  const digest = digestOf(records);
  if (range !== undefined) return `${topic}-${partition}-${range.start}-${range.end}-${digest}`;
  const [first, last] = [records[0]?.offset, records.at(-1)?.offset];
  return `${topic}-${partition}-beside-${first}-${last}-${digest}`;
}

/**
 * Names a part of a batch that the server refused whole. Batches are halved by their records alone, so a repeat after
 * a crash comes to the same parts.
 */
export function partToken(token: string, { records }: SinkBatch, from: number, to: number): string {
  if (from === 0 && to === records.length) return token;
  return `${token}/${records[from]?.offset}-${records[to - 1]?.offset}`;
}
