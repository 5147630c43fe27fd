import { retryOf } from '../../schemas/topics.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';
import { DLQ_HEADER_PREFIX, type Failure, failureHeaders } from './dead-letter.ts';
import { TRUNCATED_HEADER } from './letter-size.ts';

/** When a waiting record is to be tried, ms since the epoch. */
export const DUE_HEADER = '__reachflow.retry.due';
/** Who parked it: see `Fence.epoch`. A letter that is sent back has none. */
const EPOCH_HEADER = '__reachflow.retry.epoch';

/** A record that waits in a retry topic, as it was in its own topic, with what its headers say. */
export interface WaitingRecord {
  /** With the offset and timestamp that it has in its own topic, and its own headers with the failure's. */
  readonly record: KafkaRecord;
  /** In the retry topic. */
  readonly offset: bigint;
  /** When it was written there, ms since the epoch. */
  readonly sentAt: number;
  /** Of the lane that parked it; undefined for a letter that was sent back. */
  readonly epoch: number | undefined;
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
 * @param epoch of the lane that parks it.
 */
export function retryRecord(failure: Failure, due: number, epoch: number): OutgoingRecord {
  const { topic, partition, record, consumer } = failure;
  return {
    topic: retryOf(topic, consumer),
    partition,
    key: record.key,
    value: record.value,
    // Not the record's: retention counts from here.
    timestamp: Date.now(),
    headers: {
      ...record.headers,
      ...failureHeaders(failure),
      [DUE_HEADER]: String(due),
      [EPOCH_HEADER]: String(epoch),
    },
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
  const {
    [DUE_HEADER]: _due,
    [EPOCH_HEADER]: _epoch,
    [TRUNCATED_HEADER]: _truncated,
    ...headers
  } = raw.headers;
  const epoch = number(EPOCH_HEADER);
  return {
    record: { ...raw, offset, timestamp: Number(timestamp), headers },
    offset: raw.offset,
    sentAt: raw.timestamp,
    epoch: epoch === undefined ? undefined : Number(epoch),
    due: Number(number(DUE_HEADER) ?? 0n),
    attempts: Number(number(`${DLQ_HEADER_PREFIX}attempts`) ?? 0n),
    firstFailure: Number(number(`${DLQ_HEADER_PREFIX}first_failure`) ?? 0n),
  };
}
