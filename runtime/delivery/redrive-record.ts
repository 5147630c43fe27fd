import { retryOf } from '../../schemas/topics.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';
import { DLQ_HEADER_PREFIX, deadLetterInfo } from './dead-letter.ts';
import { DUE_HEADER } from './retry-record.ts';

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
  const { [DUE_HEADER]: _due, ...headers } = record.headers;
  return {
    topic,
    partition: Number(partition),
    record: { ...record, offset: BigInt(offset), timestamp: Number(timestamp), headers },
    step: text('step'),
  };
}

/**
 * The headers in which a redriven record differs from its letter: one more replay counted, due at once.
 * @param run names the redrive, for whoever looks at the record later.
 * @param replayCount of the letter.
 */
export function redriveHeaders(
  run: string,
  nowMs: number,
  replayCount: number,
): Readonly<Record<string, string>> {
  return {
    [`${DLQ_HEADER_PREFIX}replay_count`]: String(replayCount + 1),
    [`${DLQ_HEADER_PREFIX}attempts`]: '0',
    [DUE_HEADER]: String(nowMs),
    [REDRIVE_HEADER]: run,
  };
}

/**
 * A dead letter on its way back to the consumer that gave up on it, and to no other: to its retry topic, with the
 * letter's headers but for `redriveHeaders`.
 */
export function redrivenRecord(
  letter: KafkaRecord,
  run: string,
  nowMs: number,
): Required<OutgoingRecord> {
  const { topic, consumer, partition, replayCount } = deadLetterInfo(letter);
  return {
    topic: retryOf(topic, consumer),
    partition,
    key: letter.key,
    value: letter.value,
    // Retention counts from now; when it first came is in the headers.
    timestamp: nowMs,
    headers: { ...letter.headers, ...redriveHeaders(run, nowMs, replayCount) },
  };
}
