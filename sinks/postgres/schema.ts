import pg from 'pg';
import type { Field, TableModel } from '../fields.ts';
import { columnType, defaultSql } from './types.ts';

/** Marks rows of deleted keys, in tables with deletes. */
export const DELETED = 'deleted';

/** The one check of a table with deletes: what a live row must have. */
export const LIVE_CHECK = 'live_is_complete';

export const POSITIONS = 'reachflow_positions';

/** Under which name the sink keeps its positions. @param suffix of a replay; none for the live sink. */
export function positionsOwner(suffix = ''): string {
  return `postgres${suffix}`;
}

export interface Column {
  readonly name: string;
  /** As `format_type` prints it. */
  readonly type: string;
  readonly notNull: boolean;
  /** May only be null in a deleted row. */
  readonly guarded: boolean;
  /** SQL of what rows from before the column have; undefined: null. */
  readonly default: string | undefined;
  readonly doc: string;
}

/** A table that the sink keeps, with the view that readers use. */
export interface Table {
  readonly name: string;
  /** Shows live rows, where deleted ones stay in the table. */
  readonly view: string | undefined;
  readonly columns: readonly Column[];
  readonly key: readonly string[];
  readonly comment: string;
  /** Storage parameters, if any. */
  readonly storage?: string;
  /** Why no such table can be kept; each names the field. */
  readonly faults: readonly string[];
}

/** `schema.name`, quoted. */
export function qualified(schema: string, name: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

/** Quoted names, separated by commas. */
export function nameList(names: readonly string[]): string {
  return names.map((name) => pg.escapeIdentifier(name)).join(', ');
}

/**
 * The table of a topic. With deletes it is called `<table>_all`, and `<table>` is a view of its live rows: a deleted row
 * keeps its key and version, which keep stale writes out, and nothing else.
 */
export function tableOf(model: TableModel): Table {
  const { spec, fields } = model;
  const columns = fields.map((field) => columnOf(field, model));
  if (spec.deletes) {
    const doc = 'Whether the key was deleted: all but key and version are then null.';
    columns.push({
      ...{ name: DELETED, type: 'boolean', notNull: true, guarded: false, doc },
      default: undefined,
    });
  }
  const kept = `${spec.comment} Deleted ones stay, emptied: their version keeps stale writes out. Read the view ${spec.table}.`;
  return {
    name: spec.deletes ? `${spec.table}_all` : spec.table,
    view: spec.deletes ? spec.table : undefined,
    columns,
    key: spec.key,
    comment: spec.deletes ? kept : spec.comment,
    faults: modelFaults(model),
  };
}

function columnOf(field: Field, { spec }: TableModel): Column {
  const always = spec.key.includes(field.name) || field.name === spec.version;
  return {
    name: field.name,
    type: columnType(field.type).sql,
    notNull: always || !(field.nullable || spec.deletes),
    guarded: spec.deletes && !always && !field.nullable,
    default: defaultSql(field.type, field.default),
    doc: field.doc,
  };
}

function modelFaults({ topic, spec, fields }: TableModel): string[] {
  const faults: string[] = [];
  const byName = new Map(fields.map((field) => [field.name, field]));
  const needed = spec.version === undefined ? spec.key : [...spec.key, spec.version];
  for (const name of needed) {
    const field = byName.get(name);
    if (field === undefined) faults.push(`${topic} has no field ${name}`);
    else if (field.nullable) faults.push(`${name} may be null, and a key or version may not`);
  }
  const version = byName.get(spec.version ?? '');
  if (spec.kind === 'upsert' && version === undefined) {
    faults.push(`${topic} has upserts and names no version field: nothing tells newer rows`);
  } else if (spec.kind === 'upsert' && version?.type.kind !== 'bigint') {
    if (version?.type.kind !== 'long') faults.push(`${version?.name}, the version, is no long`);
  }
  if (!spec.deletes) return faults;
  const kind = byName.get(spec.key[0] ?? '')?.type.kind;
  if (spec.key.length !== 1 || (kind !== 'string' && kind !== 'long' && kind !== 'int')) {
    faults.push(`deletes need one key field, a string, int or long, not (${spec.key.join(', ')})`);
  }
  if (byName.has(DELETED))
    faults.push(`the field ${DELETED} has the name of the sink's own column`);
  return faults;
}

const owned = (name: string, type: string, doc: string, notNull = true): Column => ({
  ...{ name, type, doc, notNull },
  guarded: false,
  default: undefined,
});

/** Where each partition is, and who may write it: one row each, changed in the transaction of the rows. */
export const positions: Table = {
  name: POSITIONS,
  view: undefined,
  columns: [
    owned('sink', 'text', ''),
    owned('topic', 'text', 'Logical name.'),
    owned('partition', 'integer', ''),
    owned(
      'next_offset',
      'bigint',
      'All before it is in the tables, or was dead-lettered or parked. Null: where the consumer group is.',
      false,
    ),
    owned('epoch', 'bigint', 'Of the owner; a write under a smaller one is refused.'),
    owned(
      'topic_id',
      'text',
      'Of the topic that next_offset is of. One made anew under its name has another; null: not known.',
      false,
    ),
    owned('updated_at', 'timestamp with time zone', ''),
  ],
  key: ['sink', 'topic', 'partition'],
  comment: 'What the sink has written of each partition, in the transactions of the rows.',
  // Rows change with every batch: room for their next version on the same page, so that no index changes (HOT).
  storage: 'fillfactor = 50',
  faults: [],
};

/** The statements that make a table that is not there, without its view. */
export function createTable(table: Table, schema: string): string[] {
  const { columns, storage } = table;
  const name = qualified(schema, table.name);
  const lines = columns.map(
    (column) =>
      `${pg.escapeIdentifier(column.name)} ${column.type}${column.notNull ? ' NOT NULL' : ''}`,
  );
  lines.push(`PRIMARY KEY (${nameList(table.key)})`);
  const guarded = columns.filter((column) => column.guarded).map((column) => column.name);
  if (guarded.length > 0) lines.push(`CONSTRAINT ${LIVE_CHECK} ${liveCheck(guarded)}`);
  const tail = storage === undefined ? '' : ` WITH (${storage})`;
  return [
    `CREATE TABLE ${name} (\n  ${lines.join(',\n  ')}\n)${tail}`,
    `COMMENT ON TABLE ${name} IS ${pg.escapeLiteral(table.comment)}`,
    ...columns.flatMap((column) => columnComment(table, column, schema)),
  ];
}

/** The statement that describes a column; none without a doc. */
export function columnComment(table: Table, { name, doc }: Column, schema: string): string[] {
  if (doc === '') return [];
  const column = `${qualified(schema, table.name)}.${pg.escapeIdentifier(name)}`;
  return [`COMMENT ON COLUMN ${column} IS ${pg.escapeLiteral(doc)}`];
}

/** @param guarded names of columns, at least one. */
export function liveCheck(guarded: readonly string[]): string {
  const complete = guarded.map((name) => `${pg.escapeIdentifier(name)} IS NOT NULL`);
  return `CHECK (${DELETED} OR (${complete.join(' AND ')}))`;
}

/** Makes the view of live rows, or adds columns at its end: the others have to stay as they are. */
export function createView(
  table: Table,
  view: string,
  names: readonly string[],
  schema: string,
): string {
  return `CREATE OR REPLACE VIEW ${qualified(schema, view)} AS
  SELECT ${nameList(names)} FROM ${qualified(schema, table.name)} WHERE NOT ${DELETED}`;
}
