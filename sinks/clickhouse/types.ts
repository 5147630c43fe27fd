import type { FieldType } from '../fields.ts';

/** A column type of ClickHouse, as far as the sink's tables use them. */
export type ColumnType =
  | { readonly kind: 'plain'; readonly name: PlainName; readonly nullable: boolean }
  | { readonly kind: 'array'; readonly items: ColumnType }
  | { readonly kind: 'map'; readonly values: ColumnType };

const PLAIN = [
  'String',
  'Bool',
  'UInt8',
  'UInt32',
  'UInt64',
  'Int32',
  'Int64',
  'Float32',
  'Float64',
  'Date32',
  "DateTime64(3, 'UTC')",
] as const;

export type PlainName = (typeof PLAIN)[number];

const PLAIN_OF: Readonly<Record<Exclude<FieldType['kind'], 'array' | 'map'>, PlainName>> = {
  boolean: 'Bool',
  int: 'Int32',
  long: 'Int64',
  bigint: 'Int64',
  float: 'Float32',
  double: 'Float64',
  string: 'String',
  bytes: 'String',
  enum: 'String',
  json: 'String',
  timestamp: "DateTime64(3, 'UTC')",
  date: 'Date32',
};

/** Which columns may become which by `MODIFY COLUMN` without changing a value. */
const WIDER: Readonly<Partial<Record<PlainName, PlainName>>> = {
  Int32: 'Int64',
  Float32: 'Float64',
};

/**
 * The text of the type of a column for an Avro type. An array or map has no NULL in ClickHouse: null becomes empty.
 * @param lowCardinality for text of few distinct values; enumerations always are.
 */
export function columnTypeText(type: FieldType, nullable: boolean, lowCardinality = false): string {
  if (type.kind === 'array') return `Array(${columnTypeText(type.items, type.nullableItems)})`;
  if (type.kind === 'map') {
    return `Map(String, ${columnTypeText(type.values, type.nullableValues)})`;
  }
  const plain = PLAIN_OF[type.kind];
  const text = nullable ? `Nullable(${plain})` : plain;
  const few = type.kind === 'enum' || (lowCardinality && plain === 'String');
  return few ? `LowCardinality(${text})` : text;
}

function inside(text: string, wrapper: string): string | undefined {
  const start = `${wrapper}(`;
  return text.startsWith(start) && text.endsWith(')')
    ? text.slice(start.length, -1).trim()
    : undefined;
}

/** Reads a type as the server prints it; undefined for one that the sink does not write. LowCardinality is left out. */
export function parseColumnType(text: string): ColumnType | undefined {
  const few = inside(text, 'LowCardinality');
  if (few !== undefined) return parseColumnType(few);
  const items = inside(text, 'Array');
  if (items !== undefined) {
    const parsed = parseColumnType(items);
    return parsed === undefined ? undefined : { kind: 'array', items: parsed };
  }
  const entry = inside(text, 'Map');
  if (entry !== undefined) {
    const values = entry.startsWith('String,')
      ? parseColumnType(entry.slice('String,'.length).trim())
      : undefined;
    return values === undefined ? undefined : { kind: 'map', values };
  }
  const some = inside(text, 'Nullable');
  const name = PLAIN.find((plain) => plain === (some ?? text));
  return name === undefined ? undefined : { kind: 'plain', name, nullable: some !== undefined };
}

/** Does a column of type `found` hold every value of a column of type `wanted` unchanged? */
export function holds(found: ColumnType, wanted: ColumnType): boolean {
  if (found.kind === 'plain' && wanted.kind === 'plain') {
    const same = found.name === wanted.name || WIDER[wanted.name] === found.name;
    return same && (found.nullable || !wanted.nullable);
  }
  if (found.kind === 'array' && wanted.kind === 'array') return holds(found.items, wanted.items);
  return found.kind === 'map' && wanted.kind === 'map' && holds(found.values, wanted.values);
}
