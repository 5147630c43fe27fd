import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import { isTopicName } from '../../schemas/topics.ts';
import type { Field, FieldType, TableModel } from '../fields.ts';
import { type Encoded, invalidRecord, keyFault, malformedText, typedValue } from '../record.ts';
import { type IndexNames, indexFor } from './indices.ts';
import { DELETED, DELETED_AT } from './schema.ts';

/** One operation of a bulk request. */
export interface Operation {
  /** The action, and the document on a second line; without a final newline. */
  readonly lines: string;
  /** UTF-8 bytes of the lines and their newlines. */
  readonly bytes: number;
  /** The index that it names; undefined where all of the topic's go through the alias. */
  readonly index?: string;
}

export type Encoder = (record: SinkRecord) => Encoded<Operation>;

/** Elasticsearch's limit on `_id`, bytes; one longer fails its whole bulk request. */
const MAX_ID_BYTES = 512;

/** JavaScript's dates end there; a day beyond has no ISO form. */
const MAX_DAYS = 100_000_000;

/** Where and when documents go that are encoded. */
export interface EncoderOptions {
  readonly names: IndexNames;
  /** Days that the indices of an append topic are kept. */
  readonly retentionDays: number;
  /** ms since the epoch. */
  readonly now: () => number;
}

/**
 * The encoder of a topic's records.
 *
 * A record of an upsert topic becomes an `index` under an external version, so that the server refuses stale ones; a
 * tombstone one of an emptied document that says `deleted`. A record of an append topic becomes a `create` in the
 * index of its day, which the server refuses when it is there already.
 *
 * Versions and other 64-bit integers are written as digits: beyond 2^53 a JavaScript number would not be exact.
 */
export function createEncoder(model: TableModel, options: EncoderOptions): Encoder {
  return model.spec.kind === 'append'
    ? appendEncoder(model, options)
    : upsertEncoder(model, options);
}

function upsertEncoder(model: TableModel, { now }: EncoderOptions): Encoder {
  const { spec } = model;
  const version = spec.version;
  const toDocument = documentEncoder(model, version === undefined ? [] : [version]);
  return (record) => {
    const key = keyFault(record);
    if (key !== undefined) return { error: invalidRecord(record, key) };
    const given = spec.deletes && record.value === null ? record.key : identify(model, record);
    if (typeof given !== 'string') return given;
    const why = idFault(given);
    if (why !== undefined) return { error: invalidRecord(record, why) };
    const document = record.value === null ? emptied(model, record, now()) : toDocument(record);
    if (typeof document !== 'string') return document;
    const versioned =
      version === undefined ? document : withField(document, version, record.version);
    const action = `{"index":{"_id":${JSON.stringify(given)},"version":${record.version},"version_type":"external"}}`;
    return { row: operation(action, versioned) };
  };
}

function appendEncoder(model: TableModel, options: EncoderOptions): Encoder {
  const { names, retentionDays, now } = options;
  const toDocument = documentEncoder(model, []);
  const { time } = model.spec;
  return (record) => {
    const id = identify(model, record);
    if (typeof id !== 'string') return id;
    const why = idFault(id);
    if (why !== undefined) return { error: invalidRecord(record, why) };
    // Without a time of its own, the record's in Kafka; a redrive keeps it.
    const at = time === undefined ? record.timestamp : Number(record.value?.[time]);
    const index = indexFor(names, at, retentionDays, now());
    if (index === undefined) {
      const what = time ?? 'its timestamp';
      return { error: invalidRecord(record, `${what} ${at} is too far in the future`) };
    }
    const document = toDocument(record);
    if (typeof document !== 'string') return document;
    const action = `{"create":{"_index":${JSON.stringify(index)},"_id":${JSON.stringify(id)}}}`;
    return { row: { ...operation(action, document), index } };
  };
}

function operation(action: string, document: string): Operation {
  const lines = `${action}\n${document}`;
  return { lines, bytes: Buffer.byteLength(lines) + 1 };
}

/** `_id` of a record's document, once its value is known to be one of the topic. */
function identify({ topic, spec }: TableModel, record: SinkRecord): string | Encoded<never> {
  if (record.value === null) {
    return {
      error: invalidRecord(record, 'it is a tombstone, and nothing of this topic is deleted'),
    };
  }
  if (!isTopicName(topic)) throw new Error(`${topic} is not in the topics map`);
  const typed = typedValue(topic, record);
  if (typed.error !== undefined) return typed;
  const parts = spec.key.map((name) => record.value?.[name]);
  const id = parts.length === 1 ? String(parts[0]) : JSON.stringify(parts.map(String));
  // A tombstone carries only the key: a document under another id could never be deleted, nor keep its order.
  if (spec.deletes && id !== record.key) {
    return { error: invalidRecord(record, `its ${spec.key.join(', ')} is not its key`) };
  }
  return id;
}

function idFault(id: string): string | undefined {
  if (id === '') return 'its key is empty';
  if (Buffer.byteLength(id) > MAX_ID_BYTES) return `its key has more than ${MAX_ID_BYTES} bytes`;
  const why = malformedText(id);
  return why === undefined ? undefined : `its key ${why}`;
}

/** What is left of a deleted document: enough to find it by its key, to order it, and to purge it. */
function emptied({ spec }: TableModel, record: SinkRecord, now: number): string {
  const [key] = spec.key;
  if (key === undefined) throw new Error(`${record.topic} has no key`);
  return JSON.stringify({ [key]: record.key, [DELETED]: true, [DELETED_AT]: now });
}

/** The document as JSON text, with one more field at its end. */
function withField(document: string, name: string, value: bigint): string {
  const comma = document === '{}' ? '' : ',';
  return `${document.slice(0, -1)}${comma}${JSON.stringify(name)}:${value}}`;
}

/** @param left fields that the caller adds itself. */
function documentEncoder(
  { fields }: TableModel,
  left: readonly string[],
): (record: SinkRecord) => string | Encoded<never> {
  const written = fields.filter(({ name }) => !left.includes(name));
  const digits = written.filter(({ type }) => type.kind === 'bigint');
  const others = written.filter(({ type }) => type.kind !== 'bigint');
  return (record) => {
    const value = record.value ?? {};
    const why = firstFault(others, value);
    if (why !== undefined) return { error: invalidRecord(record, why) };
    const json: Record<string, unknown> = {};
    for (const { name, type } of others) json[name] = toJson(type, value[name]);
    let document = JSON.stringify(json);
    for (const { name } of digits) {
      const given = value[name];
      if (typeof given === 'bigint') document = withField(document, name, given);
    }
    return document;
  };
}

/** The first field that would not arrive as it is. */
function firstFault(
  fields: readonly Field[],
  value: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const { name, type } of fields) {
    const why = fault(type, value[name]);
    if (why !== undefined) return `${name} ${why}`;
  }
  return undefined;
}

function fault(type: FieldType, value: unknown): string | undefined {
  if (typeof value === 'string') return malformedText(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return `is ${value}`;
    return type.kind === 'date' && Math.abs(value) > MAX_DAYS ? `is no day: ${value}` : undefined;
  }
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const why = malformedText(key) ?? fault(innerType(type), inner);
    if (why !== undefined) return why;
  }
  return undefined;
}

function innerType(type: FieldType): FieldType {
  if (type.kind === 'array') return type.items;
  return type.kind === 'map' ? type.values : type;
}

/** A value in the form that its property takes; `undefined` and null are null. */
function toJson(type: FieldType, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  switch (type.kind) {
    case 'bigint':
      // Inside of arrays and maps: the server reads digits in quotes exactly, too.
      return String(value);
    case 'date':
      return new Date(Number(value) * 86_400_000).toISOString().slice(0, 10);
    case 'bytes':
      return Buffer.from(value as Uint8Array).toString('base64');
    case 'array':
      return (value as readonly unknown[]).map((item) => toJson(type.items, item));
    case 'map':
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, toJson(type.values, item)]),
      );
    case 'json':
      return JSON.stringify(value, plain);
    default:
      return value;
  }
}

/** JSON has no bigint. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
