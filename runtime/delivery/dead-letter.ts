import { createHash } from 'node:crypto';
import { schemaIdOf } from '../../schemas/codec.ts';
import { dlqOf } from '../../schemas/topics.ts';
import type { ReachflowError } from '../errors.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';

/** Prefix of the headers that say why a record is in a DLQ, after Kafka Connect's `__connect.errors.*`. */
export const DLQ_HEADER_PREFIX = '__reachflow.errors.';

export interface Failure {
  /** Logical name; also a repartition topic. */
  readonly topic: string;
  readonly partition: number;
  readonly record: KafkaRecord;
  /** Pipeline or sink. */
  readonly consumer: string;
  /** Step that gave up. */
  readonly step: string;
  readonly error: ReachflowError;
  readonly attempts: number;
  /** ms since the epoch. */
  readonly firstFailure: number;
  readonly tenant?: string;
}

/** What a dead letter's headers say, decoded. */
export interface DeadLetterInfo {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: number;
  readonly consumer: string;
  readonly step: string;
  readonly code: string;
  readonly domain: string;
  /** Name of the error behind it, as its library calls it; `ReachflowError` where there is none. */
  readonly errorClass: string;
  readonly message: string;
  readonly fingerprint: string;
  readonly attempts: number;
  readonly firstFailure: number;
  readonly lastFailure: number;
  readonly schemaId: string;
  readonly tenant: string;
  readonly codeVersion: string;
  readonly replayCount: number;
}

/** Set at build time in images; what wrote a dead letter. */
const CODE_VERSION = process.env['npm_package_version'] ?? '0.1.0';

/** Names a kind of failure: equal for records that failed alike, whatever their values. */
export function fingerprint(
  consumer: string,
  topic: string,
  step: string,
  error: ReachflowError,
): string {
  const shape = error.message.replace(/"[^"]*"|'[^']*'/g, '?').replace(/\d+/g, '#');
  const parts = [consumer, topic, step, error.code, shape].join('\u0000');
  return createHash('sha256').update(parts).digest('hex').slice(0, 12);
}

/**
 * The dead letter of a record: same partition, key and value bytes and headers, with the failure in added
 * headers. Where a header is set already (a redriven record failed again), the first failure is kept.
 */
export function deadLetter(failure: Failure): OutgoingRecord {
  const { topic, partition, record, consumer } = failure;
  return {
    topic: dlqOf(topic, consumer),
    partition,
    key: record.key,
    value: record.value,
    // Not the record's: retention counts from here, and a letter of an old record would be gone at once.
    timestamp: Date.now(),
    headers: { ...record.headers, ...failureHeaders(failure) },
  };
}

/** What dead letters and records that wait for a retry say of the failure, and of where they come from. */
export function failureHeaders(failure: Failure): Record<string, string | Buffer> {
  const { topic, partition, record, consumer, step, error } = failure;
  const p = DLQ_HEADER_PREFIX;
  const schemaId = record.value === null ? undefined : schemaIdOf(record.value);
  return {
    [`${p}topic`]: topic,
    [`${p}partition`]: String(partition),
    [`${p}offset`]: String(record.offset),
    [`${p}timestamp`]: String(record.timestamp),
    [`${p}consumer`]: consumer,
    [`${p}step`]: step,
    [`${p}code`]: error.code,
    [`${p}domain`]: error.domain,
    [`${p}class`]: error.cause instanceof Error ? error.cause.name : error.name,
    [`${p}message`]: error.message.slice(0, 4_096),
    [`${p}fingerprint`]: fingerprint(consumer, topic, step, error),
    [`${p}attempts`]: String(failure.attempts),
    [`${p}first_failure`]: record.headers[`${p}first_failure`] ?? String(failure.firstFailure),
    [`${p}last_failure`]: String(Date.now()),
    [`${p}schema_id`]: schemaId === undefined ? '' : String(schemaId),
    [`${p}tenant`]: failure.tenant ?? '',
    [`${p}code_version`]: CODE_VERSION,
    [`${p}replay_count`]: record.headers[`${p}replay_count`] ?? '0',
  };
}

/**
 * Names the record that a letter is of. A crash between a letter's ack and the position writes the letter again:
 * letters of one origin are one, whatever their own offsets.
 */
export function letterOrigin({ topic, partition, offset, consumer }: DeadLetterInfo): string {
  return `${consumer}:${topic}/${partition}@${offset}`;
}

/** Full header names by their last part: to join them anew for each look-up is most of what reading a letter costs. */
const headerNames = new Map<string, string>();

function headerName(name: string): string {
  const known = headerNames.get(name);
  if (known !== undefined) return known;
  headerNames.set(name, DLQ_HEADER_PREFIX + name);
  return DLQ_HEADER_PREFIX + name;
}

/** Reads a dead letter's headers back. */
export function deadLetterInfo(record: KafkaRecord): DeadLetterInfo {
  const text = (name: string) => record.headers[headerName(name)]?.toString('utf8') ?? '';
  return {
    topic: text('topic'),
    partition: Number(text('partition')),
    offset: text('offset'),
    timestamp: Number(text('timestamp')),
    consumer: text('consumer'),
    step: text('step'),
    code: text('code'),
    domain: text('domain'),
    errorClass: text('class'),
    message: text('message'),
    fingerprint: text('fingerprint'),
    attempts: Number(text('attempts')),
    firstFailure: Number(text('first_failure')),
    lastFailure: Number(text('last_failure')),
    schemaId: text('schema_id'),
    tenant: text('tenant'),
    codeVersion: text('code_version'),
    replayCount: Number(text('replay_count')),
  };
}
