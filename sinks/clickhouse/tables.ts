import { modelsOf, type SinkTables } from '../deps.ts';
import type { Field, TableModel } from '../fields.ts';
import { columnTypeText } from './types.ts';

/** What a column is filled with. */
export type ColumnSource =
  | { readonly from: 'field'; readonly field: Field }
  /** The record's version, partition and offset; whether it is a tombstone. */
  | { readonly from: 'version' }
  | { readonly from: 'partition' }
  | { readonly from: 'offset' }
  | { readonly from: 'deleted' };

/** A column of a table that the sink owns. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly comment: string;
  readonly codec?: string;
  readonly source: ColumnSource;
}

/** A table that the sink owns. All are ReplacingMergeTree: readers use FINAL. */
export interface Table {
  readonly model: TableModel;
  readonly name: string;
  readonly comment: string;
  /** Arguments of ReplacingMergeTree: which of the rows with one sorting key FINAL keeps. */
  readonly replacing: readonly string[];
  readonly orderBy: readonly string[];
  readonly partitionBy?: string;
  readonly columns: readonly Column[];
}

/**
 * Blocks whose tokens a new table remembers. Between an insert and its repeat after a crash every other partition goes
 * on: 100 partitions with an insert per second fill it in a quarter of an hour. About 10 MB of the server's memory.
 */
export const DEDUPLICATION_WINDOW = 100_000;

const DELETED: Column = {
  name: 'is_deleted',
  type: 'UInt8',
  comment: '1: the row was deleted, and its other columns emptied',
  source: { from: 'deleted' },
};

/** Where a row came from: the record's place in Kafka. */
const ORIGIN: readonly Column[] = [
  {
    name: '_topic_partition',
    type: 'UInt32',
    comment: 'Kafka partition of the record',
    source: { from: 'partition' },
  },
  {
    name: '_offset',
    type: 'UInt64',
    comment: 'Kafka offset of the record',
    source: { from: 'offset' },
  },
];

function columnOf(field: Field, { spec }: TableModel, orderBy: readonly string[]): Column {
  const { name, type, doc: comment } = field;
  if (name === spec.version) {
    // What ReplacingMergeTree compares has to be unsigned.
    return { name, type: 'UInt64', comment, source: { from: 'version' } };
  }
  // Sorting keys take no NULL: the encoder refuses a record with one.
  const nullable = field.nullable && !orderBy.includes(name);
  return {
    name,
    type: columnTypeText(type, nullable, spec.lowCardinality?.includes(name)),
    comment,
    source: { from: 'field', field },
    ...(spec.payload?.includes(name) === true ? { codec: 'ZSTD(1)' } : {}),
  };
}

function commentOf({ spec }: TableModel): string {
  if (spec.kind === 'append') {
    return `${spec.comment} Read with FINAL: a repeated delivery is merged away later.`;
  }
  const deleted = spec.deletes ? ' and leaves deleted ones out' : '';
  return `${spec.comment} Read with FINAL: it keeps the newest version of each row${deleted}.`;
}

/** The table of a topic's rows. */
export function tableOf(model: TableModel): Table {
  const { spec } = model;
  const orderBy = spec.orderBy ?? spec.key;
  const replacing = spec.version === undefined ? [] : [spec.version];
  return {
    model,
    name: spec.table,
    comment: commentOf(model),
    replacing: spec.deletes ? [...replacing, DELETED.name] : replacing,
    orderBy,
    ...(spec.time === undefined ? {} : { partitionBy: `toYYYYMM(${spec.time})` }),
    columns: [
      ...model.fields.map((field) => columnOf(field, model, orderBy)),
      ...(spec.deletes ? [DELETED] : []),
      ...ORIGIN,
    ],
  };
}

/** The tables that the sink keeps, by topic. */
export function clickhouseTables(deps: SinkTables = {}): ReadonlyMap<string, Table> {
  return new Map(modelsOf('clickhouse', deps).map((model) => [model.topic, tableOf(model)]));
}

const escapes: Readonly<Record<string, string>> = { "'": "\\'", '\\': '\\\\' };

/** Text as a literal of SQL. */
export function literal(text: string): string {
  return `'${text.replace(/['\\]/g, (char) => escapes[char] ?? char)}'`;
}

/** A name as SQL takes it, whatever is in it. */
export function quoted(name: string): string {
  return `\`${name.replace(/[`\\]/g, (char) => `\\${char}`)}\``;
}

/** `database.table`, quoted; only the table without a database. */
export function qualified(database: string | undefined, table: string): string {
  return database === undefined ? quoted(table) : `${quoted(database)}.${quoted(table)}`;
}

/** A column as CREATE and ALTER take it. @param defaultSql what rows without it read as. */
export function columnSql({ name, type, comment, codec }: Column, defaultSql?: string): string {
  return [
    quoted(name),
    type,
    ...(defaultSql === undefined ? [] : [`DEFAULT ${defaultSql}`]),
    ...(comment === '' ? [] : [`COMMENT ${literal(comment)}`]),
    ...(codec === undefined ? [] : [`CODEC(${codec})`]),
  ].join(' ');
}

/** DDL of a table. @param name qualified. */
export function createTableSql(name: string, table: Table): string {
  return [
    `CREATE TABLE IF NOT EXISTS ${name} (`,
    `  ${table.columns.map((column) => columnSql(column)).join(',\n  ')}`,
    `) ENGINE = ReplacingMergeTree(${table.replacing.join(', ')})`,
    ...(table.partitionBy === undefined ? [] : [`PARTITION BY ${table.partitionBy}`]),
    `ORDER BY (${table.orderBy.join(', ')})`,
    `SETTINGS non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`,
    `COMMENT ${literal(table.comment)}`,
  ].join('\n');
}
