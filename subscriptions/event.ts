import type { KafkaRecord } from '../runtime/kafka/record.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { Payloads } from '../schemas/payloads.ts';
import { tenantOf } from '../schemas/tenant.ts';
import type { TopicName } from '../schemas/topics.ts';

/** A record as subscribers get it: encoded once, however many there are. */
export interface SubscribedEvent {
  readonly partition: number;
  readonly offset: number;
  /** Whose it is; undefined when it says of nobody, or of several: only who may see everything gets it. */
  readonly tenant: string | undefined;
  /** Behind this event, in the order of the shared reader. */
  readonly cursor: string;
  /** The document, `cursor` first: UTF-8. */
  readonly json: Buffer;
}

/** 64-bit numbers as text: JavaScript's, and most JSON parsers', are not exact beyond 2^53. */
function exact(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

/** What a record is without its cursor. */
export interface DecodedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly tenant: string | undefined;
  /** The document's members behind `cursor`. */
  rest(): string;
}

/**
 * Decodes a record; `codec.load` must have seen it. A value that cannot be decoded becomes an event of no tenant with `error`
 * in place of `value`: those who may see everything learn of it, and nobody's stream ends.
 */
export function decodeRecord(
  codec: TopicCodec,
  topic: TopicName,
  partition: number,
  record: KafkaRecord,
  payloads?: Payloads,
): DecodedRecord {
  const offset = Number(record.offset);
  let content: { readonly value: unknown } | { readonly error: string };
  try {
    content = { value: record.value === null ? null : codec.decode(topic, record.value, payloads) };
  } catch {
    content = { error: 'UNDECODABLE' };
  }
  const tenant = 'value' in content ? tenantOf(content.value) : undefined;
  const rest = () => {
    const key = keyText(codec, topic, record.key);
    const members = { topic, partition, offset, timestamp: record.timestamp, key, ...content };
    return JSON.stringify(members, exact).slice(1);
  };
  return { partition, offset, tenant, rest };
}

function keyText(codec: TopicCodec, topic: TopicName, key: Buffer | null): string | null {
  if (key === null) return null;
  try {
    return codec.decodeKey(topic, key);
  } catch {
    return null;
  }
}

/** The event of a decoded record at a position. */
export function toEvent(record: DecodedRecord, cursor: string): SubscribedEvent {
  const { partition, offset, tenant } = record;
  const json = Buffer.from(`{"cursor":"${cursor}",${record.rest()}`);
  return { partition, offset, tenant, cursor, json };
}

const CURSOR_AT = '{"cursor":"'.length;

/** The same event, with the position of a subscriber that has seen more or less than the shared reader. */
export function withCursor(event: SubscribedEvent, cursor: string): SubscribedEvent {
  if (cursor === event.cursor) return event;
  const rest = event.json.subarray(CURSOR_AT + event.cursor.length);
  const json = Buffer.concat([event.json.subarray(0, CURSOR_AT), Buffer.from(cursor), rest]);
  return { ...event, cursor, json };
}
