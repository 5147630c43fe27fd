import type { SinkBatch } from '../../runtime/delivery/sink.ts';

/**
 * Names a batch to the server, which drops a block whose token it remembers, whatever is in it. Batches of a range are
 * `topic-partition-start-end-origin`, so that a repeat has the same name though some of its records are parked or
 * dead-lettered by now, or were then; groups beside the stream have a name, behind a word of their own.
 */
export function batchToken({ topic, partition, range, plan }: SinkBatch): string {
  if (range !== undefined) {
    return `${topic}-${partition}-${range.start}-${range.end}-${range.origin}`;
  }
  if (plan === undefined) throw new Error(`a group of ${topic}/${partition} was not planned`);
  return `${topic}-${partition}-retry-${plan}`;
}

/**
 * Names a part of a batch that the server refused whole. Batches are halved by their records alone, so a repeat after
 * a crash comes to the same parts.
 */
export function partToken(token: string, { records }: SinkBatch, from: number, to: number): string {
  if (from === 0 && to === records.length) return token;
  return `${token}/${records[from]?.offset}-${records[to - 1]?.offset}`;
}
