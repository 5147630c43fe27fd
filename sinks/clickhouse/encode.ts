import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { Contact } from '../../schemas/types.ts';
import { readContact } from '../contact.ts';
import {
  type Encoded,
  invalidRecord,
  keyFault,
  malformedText,
  typedValue,
  valueFault,
} from '../record.ts';
import { contactsTable, eventsTable, type Table, tenantCountsTable } from './tables.ts';

/** A row in JSONCompactEachRow: values in the order of the table's columns. */
export interface EncodedRow {
  readonly json: string;
  readonly offset: bigint;
}

/** Where a topic's records go, and how. */
export interface TableEncoder {
  readonly table: Table;
  readonly encode: (record: SinkRecord) => Encoded<EncodedRow>;
}

type Cell = string | number | null | readonly string[];

/** The range of DateTime64; what is outside, ClickHouse changes silently to what is inside. */
const MIN_INSTANT = Date.UTC(1900, 0, 1);
const MAX_INSTANT = Date.UTC(2300, 0, 1) - 1;

function instantFault(instants: Readonly<Record<string, number>>): string | undefined {
  for (const [field, ms] of Object.entries(instants)) {
    if (ms < MIN_INSTANT || ms > MAX_INSTANT) return `${field} is outside the years 1900 to 2299`;
  }
  return undefined;
}

/** Milliseconds since the epoch as `YYYY-MM-DD hh:mm:ss.mmm`, UTC. */
function instant(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, -1);
}

/** 64-bit numbers travel as text: as JSON numbers they are exact here, but not to every tool in between. */
function row(record: SinkRecord, cells: readonly Cell[]): Encoded<EncodedRow> {
  const json = JSON.stringify([...cells, record.partition, String(record.offset)]);
  return { row: { json, offset: record.offset } };
}

/** The checks of the topics whose records are facts: they are never deleted. */
function readFact<T extends 'event.recorded' | 'metric.tenant.count'>(
  topic: T,
  record: SinkRecord,
) {
  if (record.value === null) {
    return { error: invalidRecord(record, `${topic} has no deletions, but this is a tombstone`) };
  }
  const typed = typedValue(topic, record);
  if (typed.error !== undefined) return typed;
  const why = valueFault(record.value, malformedText);
  return why === undefined ? typed : { error: invalidRecord(record, why) };
}

function encodeEvent(record: SinkRecord): Encoded<EncodedRow> {
  const typed = readFact('event.recorded', record);
  if (typed.error !== undefined) return typed;
  const event = typed.row;
  const { occurred_at, received_at } = event;
  const why = instantFault({ occurred_at, received_at });
  if (why !== undefined) return { error: invalidRecord(record, why) };
  return row(record, [
    event.event_id,
    event.tenant_id,
    event.source,
    event.event_type,
    event.entity_id,
    instant(occurred_at),
    instant(received_at),
    event.payload,
  ]);
}

function encodeTenantCount(record: SinkRecord): Encoded<EncodedRow> {
  const typed = readFact('metric.tenant.count', record);
  if (typed.error !== undefined) return typed;
  const { tenant_id, window_start, window_end, count } = typed.row;
  const why =
    count < 0
      ? 'count is negative'
      : (keyFault(record) ?? instantFault({ window_start, window_end }));
  if (why !== undefined) return { error: invalidRecord(record, why) };
  return row(record, [
    tenant_id,
    instant(window_start),
    instant(window_end),
    count,
    String(record.version),
  ]);
}

function contactFault(contact: Contact): string | undefined {
  const { created_at, updated_at, score } = contact;
  // Float32 would hold it as infinity.
  if (score !== null && !Number.isFinite(Math.fround(score))) return 'score is no 32-bit float';
  return instantFault({ created_at, updated_at });
}

function encodeContact(record: SinkRecord): Encoded<EncodedRow> {
  const read = readContact(record);
  if (read.error !== undefined) return read;
  const contact = read.row;
  const version = String(record.version);
  if (contact === null) {
    const cleared: Cell[] = [
      '',
      '',
      '',
      null,
      null,
      null,
      null,
      null,
      [],
      null,
      instant(0),
      instant(0),
    ];
    return row(record, [record.key, ...cleared, version, 1]);
  }
  const why = contactFault(contact);
  if (why !== undefined) return { error: invalidRecord(record, why) };
  return row(record, [
    contact.id,
    contact.tenant_id,
    contact.full_name,
    contact.email,
    contact.phone,
    contact.company_id,
    contact.company,
    contact.company_domain,
    contact.industry,
    contact.tags,
    contact.score,
    instant(contact.created_at),
    instant(contact.updated_at),
    version,
    0,
  ]);
}

/** The table of each topic that the sink writes. */
export const encoders: ReadonlyMap<string, TableEncoder> = new Map([
  ['contact.golden', { table: contactsTable, encode: encodeContact }],
  ['event.recorded', { table: eventsTable, encode: encodeEvent }],
  ['metric.tenant.count', { table: tenantCountsTable, encode: encodeTenantCount }],
]);
