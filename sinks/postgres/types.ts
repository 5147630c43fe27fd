import pg from 'pg';
import type { FieldType } from '../fields.ts';
import { type BinaryArrays, textFault, type ValueFault, type Wire } from './binary.ts';

/** How a kind of field is kept. */
export interface ColumnType {
  /** The column's type, as `format_type` prints it. */
  readonly sql: string;
  /** The element type of the array that a statement gets. */
  readonly wire: Wire;
  /** Whether a value on the wire is a text to be cast to `sql`. */
  readonly cast: boolean;
  /** Writes a value other than null, or says what is wrong with it. */
  readonly write: (out: BinaryArrays, value: unknown) => ValueFault;
}

type Write = ColumnType['write'];

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

const writeText: Write = (out, value) =>
  typeof value === 'string' ? out.text(value) : 'is no string';

const writeLong: Write = (out, value) =>
  isNumber(value) && Number.isSafeInteger(value) ? out.int8(value) : 'is no long';

function isInt(value: unknown): value is number {
  return isNumber(value) && value === (value | 0);
}

const plain = (sql: string, wire: Wire, write: Write): ColumnType => ({
  ...{ sql, wire, write },
  cast: false,
});

const SCALARS = {
  boolean: plain('boolean', 'bool', (out, value) =>
    typeof value === 'boolean' ? out.bool(value) : 'is no boolean',
  ),
  int: plain('integer', 'int4', (out, value) => (isInt(value) ? out.int4(value) : 'is no int')),
  long: plain('bigint', 'int8', writeLong),
  bigint: plain('bigint', 'int8', (out, value) =>
    typeof value === 'bigint' ? out.bigint(value) : 'is no long',
  ),
  float: plain('real', 'float4', (out, value) =>
    isNumber(value) ? out.float4(value) : 'is no float',
  ),
  double: plain('double precision', 'float8', (out, value) =>
    isNumber(value) ? out.float8(value) : 'is no double',
  ),
  string: plain('text', 'text', writeText),
  enum: plain('text', 'text', writeText),
  bytes: plain('bytea', 'bytea', (out, value) =>
    value instanceof Uint8Array ? out.bytea(value) : 'is no bytes',
  ),
  timestamp: plain('timestamp with time zone', 'timestamptz', (out, value) =>
    isNumber(value) && Number.isInteger(value) ? out.timestamptz(value) : 'is no timestamp',
  ),
  date: plain('date', 'date', (out, value) => (isInt(value) ? out.date(value) : 'is no date')),
} as const;

/** Maps, nested records, nested arrays and unions: `jsonb`, which queries and indexes can look into. */
const JSONB: ColumnType = {
  sql: 'jsonb',
  wire: 'text',
  cast: true,
  write(out, value) {
    const json = jsonText(value);
    return 'fault' in json ? json.fault : out.text(json.text);
  },
};

/** A kind of field as a column. Total: what has no column type of its own is `jsonb`. */
export function columnType(type: FieldType): ColumnType {
  if (type.kind === 'map' || type.kind === 'json') return JSONB;
  if (type.kind !== 'array') return SCALARS[type.kind];
  const { items } = type;
  if (items.kind === 'array' || items.kind === 'map' || items.kind === 'json') return JSONB;
  return arrayOf(SCALARS[items.kind], items, type.nullableItems);
}

/**
 * An array of scalars. Postgres has no arrays of arrays of unequal length, so each row's array travels as the text of an
 * array literal (PostgreSQL documentation 8.15.6).
 */
function arrayOf(item: ColumnType, type: FieldType, nullableItems: boolean): ColumnType {
  return {
    sql: `${item.sql}[]`,
    wire: 'text',
    cast: true,
    write(out, value) {
      if (!Array.isArray(value)) return 'is no array';
      let literal = '{';
      for (const one of value) {
        if (literal.length > 1) literal += ',';
        if (one === null && nullableItems) {
          literal += 'NULL';
          continue;
        }
        const text = elementText(type, one);
        if (text === undefined) return `holds an element that is no ${type.kind}`;
        literal += text;
      }
      return out.text(`${literal}}`);
    },
  };
}

/** An element in an array literal; undefined when the value is not of the type. */
function elementText(type: FieldType, value: unknown): string | undefined {
  switch (type.kind) {
    case 'string':
    case 'enum':
      return typeof value === 'string' ? quoted(value) : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? String(value) : undefined;
    case 'bigint':
      return typeof value === 'bigint' ? String(value) : undefined;
    case 'float':
    case 'double':
      return isNumber(value) ? String(value) : undefined;
    case 'bytes':
      return value instanceof Uint8Array
        ? `"\\\\x${Buffer.from(value).toString('hex')}"`
        : undefined;
    case 'timestamp':
      return isNumber(value) ? isoText(value) : undefined;
    case 'date':
      return isNumber(value) ? isoText(value * 86_400_000) : undefined;
    default:
      return Number.isSafeInteger(value) ? String(value) : undefined;
  }
}

/** Undefined beyond the years 0 to 9999, which the two sides write differently. */
function isoText(ms: number): string | undefined {
  const at = new Date(ms);
  const year = at.getUTCFullYear();
  return year >= 0 && year <= 9_999 ? `"${at.toISOString()}"` : undefined;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** JSON text: 64-bit numbers as strings, as JSON's readers have doubles only; bytes in base64. */
function jsonText(value: unknown): { readonly text: string } | { readonly fault: string } {
  let fault: string | undefined;
  const text = JSON.stringify(value, function replace(this: unknown, key: string, given: unknown) {
    if (typeof given === 'bigint') return String(given);
    if (typeof given === 'number' && !Number.isFinite(given)) fault ??= `holds ${given}`;
    if (typeof given === 'string') fault ??= textFault(given);
    if (key !== '') fault ??= textFault(key);
    // Buffers have a toJSON, so that `given` is no longer one.
    const own = (this as Readonly<Record<string, unknown>>)[key];
    return own instanceof Uint8Array ? Buffer.from(own).toString('base64') : given;
  });
  if (fault !== undefined) return { fault };
  return text === undefined ? { fault: 'is missing' } : { text };
}

/** A field's Avro default as SQL; undefined when it is null, or has no form here. */
export function defaultSql(type: FieldType, value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  const { sql } = columnType(type);
  switch (type.kind) {
    case 'timestamp':
      return `to_timestamp(${Number(value)} / 1000.0)`;
    case 'date':
      return `DATE '1970-01-01' + ${Number(value)}`;
    case 'bytes':
      // Avro writes the bytes of a default as the characters U+0000 to U+00FF.
      return `'\\x${Buffer.from(String(value), 'latin1').toString('hex')}'::bytea`;
    case 'array': {
      if (sql === JSONB.sql || !Array.isArray(value)) break;
      const items = value.map((one) =>
        one === null ? 'NULL' : (elementText(type.items, one) ?? quoted(String(one))),
      );
      return `${pg.escapeLiteral(`{${items.join(',')}}`)}::${sql}`;
    }
    default:
  }
  if (sql === JSONB.sql) return `${pg.escapeLiteral(JSON.stringify(value))}::jsonb`;
  return `${pg.escapeLiteral(String(value))}::${sql}`;
}
