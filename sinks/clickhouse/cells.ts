import type { FieldType } from '../fields.ts';
import { malformedText } from '../record.ts';
import type { RowBinaryWriter } from './row-binary.ts';
import type { ColumnType, PlainName } from './types.ts';

/**
 * Writes one value of a column. Returns what is wrong with it (`is no text`) and then leaves the writer wherever it
 * was; nothing when it is written.
 */
export type CellWriter = (out: RowBinaryWriter, value: unknown) => string | undefined;

/** The range of DateTime64 and Date32; what is outside, ClickHouse changes silently to what is inside. */
const MIN_INSTANT = Date.UTC(1900, 0, 1);
const MAX_INSTANT = Date.UTC(2300, 0, 1) - 1;
const DAY = 86_400_000;
const MIN_DAY = MIN_INSTANT / DAY;
const MAX_DAY = Math.floor(MAX_INSTANT / DAY);

const MIN_64 = -(2n ** 63n);
const MAX_64 = 2n ** 63n - 1n;

const OUTSIDE = 'is outside the years 1900 to 2299';

const instant: CellWriter = (out, value) => {
  if (typeof value !== 'number' || !Number.isInteger(value)) return 'is no time in ms';
  if (value < MIN_INSTANT || value > MAX_INSTANT) return OUTSIDE;
  out.int64(value);
  return undefined;
};

const day: CellWriter = (out, value) => {
  if (typeof value !== 'number' || !Number.isInteger(value)) return 'is no date in days';
  if (value < MIN_DAY || value > MAX_DAY) return OUTSIDE;
  out.int32(value);
  return undefined;
};

const int32: CellWriter = (out, value) => {
  // A key may come as a bigint, which has no number if it is too large for one.
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number' || (number | 0) !== number) return 'is no 32-bit integer';
  out.int32(number);
  return undefined;
};

const int64: CellWriter = (out, value) => {
  if (typeof value === 'number' && Number.isSafeInteger(value)) out.int64(value);
  else if (typeof value === 'bigint' && value >= MIN_64 && value <= MAX_64) out.bigint64(value);
  else return 'is no 64-bit integer';
  return undefined;
};

const float32: CellWriter = (out, value) => {
  if (typeof value !== 'number') return 'is no number';
  // It would become infinity.
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) return 'is no 32-bit float';
  out.float32(value);
  return undefined;
};

const float64: CellWriter = (out, value) => {
  if (typeof value !== 'number') return 'is no number';
  out.float64(value);
  return undefined;
};

const bool: CellWriter = (out, value) => {
  if (typeof value !== 'boolean') return 'is no boolean';
  out.byte(value ? 1 : 0);
  return undefined;
};

/** Text, as it is in UTF-8. */
export const text: CellWriter = (out, value) => {
  if (typeof value !== 'string') return 'is no string';
  const why = malformedText(value);
  if (why === undefined) out.text(value);
  return why;
};

const blob: CellWriter = (out, value) => {
  if (!(value instanceof Uint8Array)) return 'is no bytes';
  out.blob(value);
  return undefined;
};

const json: CellWriter = (out, value) => {
  if (value === undefined) return 'is missing';
  const written: string = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? String(inner) : inner,
  );
  return text(out, written);
};

const PLAIN: Readonly<Partial<Record<PlainName, CellWriter>>> = {
  Bool: bool,
  Int32: int32,
  Int64: int64,
  Float32: float32,
  Float64: float64,
  Date32: day,
  "DateTime64(3, 'UTC')": instant,
};

function plainWriter(name: PlainName, field: FieldType): CellWriter {
  if (name === 'String') {
    if (field.kind === 'bytes') return blob;
    return field.kind === 'json' ? json : text;
  }
  const writer = PLAIN[name];
  if (writer === undefined) throw new Error(`no field is kept in a column of type ${name}`);
  return writer;
}

function nullable(write: CellWriter): CellWriter {
  return (out, value) => {
    if (value === null) {
      out.byte(1);
      return undefined;
    }
    out.byte(0);
    return write(out, value);
  };
}

function array(write: CellWriter): CellWriter {
  return (out, value) => {
    // There is no NULL array.
    const items: unknown = value === null ? [] : value;
    if (!Array.isArray(items)) return 'is no array';
    out.varint(items.length);
    for (const item of items as readonly unknown[]) {
      const why = write(out, item);
      if (why !== undefined) return `has an item that ${why}`;
    }
    return undefined;
  };
}

function map(write: CellWriter): CellWriter {
  return (out, value) => {
    const given: unknown = value === null ? {} : value;
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return 'is no map';
    const entries = Object.entries(given);
    out.varint(entries.length);
    for (const [key, item] of entries) {
      const why = text(out, key) ?? write(out, item);
      if (why !== undefined) return `has an entry that ${why}`;
    }
    return undefined;
  };
}

/**
 * Compiles the writer of a column. @param column its type in the table, which may be wider than the field needs.
 * @param field the Avro type of what it is given.
 */
export function cellWriter(column: ColumnType, field: FieldType): CellWriter {
  if (column.kind === 'array' && field.kind === 'array') {
    return array(cellWriter(column.items, field.items));
  }
  if (column.kind === 'map' && field.kind === 'map') {
    return map(cellWriter(column.values, field.values));
  }
  if (column.kind !== 'plain') throw new Error(`a ${field.kind} is kept in no ${column.kind}`);
  const write = plainWriter(column.name, field);
  return column.nullable ? nullable(write) : write;
}

const WIDTH: Readonly<Record<PlainName, number>> = {
  String: 1,
  Bool: 1,
  UInt8: 1,
  UInt32: 4,
  Int32: 4,
  Float32: 4,
  Date32: 4,
  UInt64: 8,
  Int64: 8,
  Float64: 8,
  "DateTime64(3, 'UTC')": 8,
};

/** What a column holds in an emptied row: NULL where there is one, else zero, '' or nothing in it. */
export function emptyCell(column: ColumnType): Uint8Array {
  if (column.kind !== 'plain') return Uint8Array.of(0);
  return column.nullable ? Uint8Array.of(1) : new Uint8Array(WIDTH[column.name]);
}
