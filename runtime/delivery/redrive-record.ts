import { retryOf } from '../../schemas/topics.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';
import { DLQ_HEADER_PREFIX, deadLetterInfo } from './dead-letter.ts';

/** When a record of a retry topic may be tried again, ms since the epoch. */
const RETRY_DUE_HEADER = 'reachflow.retry.due';
/** How often it was tried since it came to the retry topic. */
const RETRY_ATTEMPTS_HEADER = 'reachflow.retry.attempts';
/** When it failed first, ms since the epoch. */
const RETRY_FIRST_FAILURE_HEADER = 'reachflow.retry.first_failure';
/** The redrive that sent the record; only on records that come from a DLQ. */
export const REDRIVE_HEADER = 'reachflow.redrive';

/** A record of a retry topic, as it was where it came from. */
export interface Origin {
  /** Logical name. */
  readonly topic: string;
  readonly partition: number;
  /** Key, value and headers of the retry topic's record; offset and timestamp of the first. */
  readonly record: KafkaRecord;
  /** The step that gave up on it; '' where none is named. */
  readonly step: string;
}

/**
 * Where a record of a retry topic came from, by the headers of its failure; undefined when they do not say, as of a
 * record that somebody else wrote there.
 */
export function originOf(record: KafkaRecord): Origin | undefined {
  const text = (name: string) => record.headers[DLQ_HEADER_PREFIX + name]?.toString('utf8') ?? '';
  const [topic, partition, offset, timestamp] = [
    text('topic'),
    text('partition'),
    text('offset'),
    text('timestamp'),
  ];
  if (topic === '' || ![partition, offset, timestamp].every((digits) => /^\d+$/.test(digits))) {
    return undefined;
  }
  const {
    [RETRY_DUE_HEADER]: _due,
    [RETRY_ATTEMPTS_HEADER]: _attempts,
    [RETRY_FIRST_FAILURE_HEADER]: _firstFailure,
    ...headers
  } = record.headers;
  return {
    topic,
    partition: Number(partition),
    record: { ...record, offset: BigInt(offset), timestamp: Number(timestamp), headers },
    step: text('step'),
  };
}

/**
 * A dead letter on its way back to the consumer that gave up on it, and to no other: to its retry topic, due at once,
 * with the letter's headers and one more replay counted.
 * @param run names the redrive, for whoever looks at the record later.
 * @param info the letter's, where it was read already.
 */
export function redrivenRecord(
  letter: KafkaRecord,
  run: string,
  nowMs: number,
  { topic, consumer, partition, replayCount, firstFailure } = deadLetterInfo(letter),
): Required<OutgoingRecord> {
  return {
    topic: retryOf(topic, consumer),
    partition,
    key: letter.key,
    value: letter.value,
    // Retention counts from now; when it first came is in the headers.
    timestamp: nowMs,
    headers: {
      ...letter.headers,
      [`${DLQ_HEADER_PREFIX}replay_count`]: String(replayCount + 1),
      [`${DLQ_HEADER_PREFIX}attempts`]: '0',
      [RETRY_DUE_HEADER]: String(nowMs),
      [RETRY_ATTEMPTS_HEADER]: '0',
      [RETRY_FIRST_FAILURE_HEADER]: String(firstFailure),
      [REDRIVE_HEADER]: run,
    },
  };
}
