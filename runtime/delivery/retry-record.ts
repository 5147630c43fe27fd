import { retryOf } from '../../schemas/topics.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';
import { DLQ_HEADER_PREFIX, type Failure, failureHeaders } from './dead-letter.ts';

/** When a waiting record is to be tried, ms since the epoch. */
export const DUE_HEADER = '__reachflow.retry.due';

/** A record that waits in a retry topic, as it was in its own topic, with what its headers say. */
export interface WaitingRecord {
  /** With the offset and timestamp that it has in its own topic, and its own headers with the failure's. */
  readonly record: KafkaRecord;
  /** In the retry topic. */
  readonly offset: bigint;
  /** ms since the epoch. */
  readonly due: number;
  /** How often it was tried. */
  readonly attempts: number;
  /** ms since the epoch. */
  readonly firstFailure: number;
}

/**
 * The record of a failure on its way to the retry topic: same partition, key and value bytes and headers.
 * @param due when to try it, ms since the epoch.
 */
export function retryRecord(failure: Failure, due: number): OutgoingRecord {
  const { topic, partition, record, consumer } = failure;
  return {
    topic: retryOf(topic, consumer),
    partition,
    key: record.key,
    value: record.value,
    // Not the record's: retention counts from here.
    timestamp: Date.now(),
    headers: { ...record.headers, ...failureHeaders(failure), [DUE_HEADER]: String(due) },
  };
}

/** Reads a retry topic's record back; undefined when nobody here wrote it. */
export function waitingRecord(raw: KafkaRecord): WaitingRecord | undefined {
  const number = (name: string) => {
    const text = raw.headers[name]?.toString('utf8') ?? '';
    return /^\d{1,19}$/.test(text) ? BigInt(text) : undefined;
  };
  const offset = number(`${DLQ_HEADER_PREFIX}offset`);
  const timestamp = number(`${DLQ_HEADER_PREFIX}timestamp`);
  if (offset === undefined || timestamp === undefined) return undefined;
  const { [DUE_HEADER]: _due, ...headers } = raw.headers;
  return {
    record: { ...raw, offset, timestamp: Number(timestamp), headers },
    offset: raw.offset,
    due: Number(number(DUE_HEADER) ?? 0n),
    attempts: Number(number(`${DLQ_HEADER_PREFIX}attempts`) ?? 0n),
    firstFailure: Number(number(`${DLQ_HEADER_PREFIX}first_failure`) ?? 0n),
  };
}
