import type { ReachflowError } from '../errors.ts';
import type { PartitionBatch } from '../kafka/record.ts';
import type { SourceRecord } from '../topology/record.ts';

/** What a task is given to process of a source topic. */
export type Batch = Pick<PartitionBatch, 'topic' | 'records' | 'nextOffset'> & {
  /** Whether there was nothing behind it when it was read. */
  readonly atEnd: boolean;
};

/** Thrown to end an epoch before a record: it is to be tried again later. */
export class RetryLater extends Error {
  readonly source: SourceRecord;
  readonly afterMs: number;

  constructor(source: SourceRecord, afterMs: number) {
    super('a step asked for a record to be tried again later');
    this.name = 'RetryLater';
    this.source = source;
    this.afterMs = afterMs;
  }
}

/** Thrown to end an epoch before a record: the broker would not take what it makes the task write. */
export class Oversized extends Error {
  readonly source: SourceRecord;
  readonly step: string;
  readonly reason: ReachflowError;

  constructor(source: SourceRecord, step: string, reason: ReachflowError) {
    super('a record would make the task write one that is too large', { cause: reason });
    this.name = 'Oversized';
    this.source = source;
    this.step = step;
    this.reason = reason;
  }
}

/**
 * Index of the record that stopped an epoch, before `to`. Undefined when it is none of them: what a timer or a closed
 * window forwarded may come from an earlier batch.
 */
export function indexOfSource(
  { topic, records }: Batch,
  from: number,
  to: number,
  { source }: RetryLater | Oversized,
): number | undefined {
  if (source.topic !== topic) return undefined;
  const at = records.findIndex(({ offset }) => offset === source.record.offset);
  return at >= from && at < to ? at : undefined;
}
