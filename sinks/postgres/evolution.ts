import pg from 'pg';
import type { PlanEvolution, StoreEvolution } from '../evolution.ts';
import type { TableModel } from '../fields.ts';
import {
  type Column,
  columnComment,
  createTable,
  createView,
  DELETED,
  LIVE_CHECK,
  liveCheck,
  qualified,
  type Table,
  tableOf,
} from './schema.ts';

/** A column that is there. */
export interface FoundColumn {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** An insert may leave it out: it may be null, or has a default or an identity. */
  readonly optional: boolean;
}

/** What the database has under the names of a table and its view. */
export interface Found {
  /** Undefined when there is no such table. */
  readonly table:
    | {
        readonly columns: readonly FoundColumn[];
        /** Columns of each unique index, the primary key's too. */
        readonly uniques: readonly (readonly string[])[];
        /** Columns of the check on live rows. */
        readonly guarded: readonly string[];
      }
    | undefined;
  /** Columns of the view, in order. `taken`: something else has its name. */
  readonly view: readonly string[] | 'taken' | undefined;
}

export type TableChange = Pick<StoreEvolution, 'statements' | 'refused'>;

/**
 * What makes `table` of what is there: additions only, or the reasons why additions do not do. Statements that find all as
 * it should be are left out, so that a role that may only read and write is enough once a table is made.
 *
 * A process of the older schema goes on writing beside: it leaves new columns as they are, so that what it updates or
 * deletes keeps their values until a newer process writes the key again.
 */
export function planTable(found: Found, table: Table, schema: string): TableChange {
  const refused = [...table.faults];
  const statements: string[] = [];
  if (found.table === undefined) {
    statements.push(...createTable(table, schema));
  } else {
    refused.push(...conflicts(found.table, table));
    statements.push(...additions(found.table, table, schema));
  }
  if (table.view !== undefined) {
    if (found.view === 'taken') {
      refused.push(
        `${table.view} is a table, not the view of ${table.name}: rename it, so that the view can have its name`,
      );
    } else {
      statements.push(...viewChange(found.view, table, table.view, schema));
    }
  }
  return { statements: refused.length > 0 ? [] : statements, refused };
}

type FoundTable = NonNullable<Found['table']>;

function conflicts({ columns, uniques }: FoundTable, table: Table): string[] {
  const refused: string[] = [];
  const wanted = new Map(table.columns.map((column) => [column.name, column]));
  for (const { name, type, optional } of columns) {
    const column = wanted.get(name);
    if (column === undefined && !optional) {
      refused.push(
        `column ${name} is not in the schema, and has neither a default nor may it be null: ALTER COLUMN ${name} DROP NOT NULL, or give it a default`,
      );
    } else if (column !== undefined && column.type !== type) {
      refused.push(
        `column ${name} is ${type}, not ${column.type}: add a field of another name, or ALTER COLUMN ${name} TYPE ${column.type} yourself, which may rewrite the table`,
      );
    }
    wanted.delete(name);
  }
  for (const column of wanted.values()) {
    if ((column.notNull || column.guarded) && column.default === undefined) {
      refused.push(
        `column ${column.name} is missing, and rows that are there would have no value: give the field ${column.name} a default, or let it be null`,
      );
    }
  }
  const key = [...table.key].sort().join();
  if (!uniques.some((unique) => [...unique].sort().join() === key)) {
    refused.push(
      `no primary key or unique index on (${table.key.join(', ')}): the key of a table does not change, write another table`,
    );
  }
  return refused;
}

function additions(found: FoundTable, table: Table, schema: string): string[] {
  const alter = `ALTER TABLE ${qualified(schema, table.name)}`;
  const there = new Map(found.columns.map((column) => [column.name, column]));
  const statements: string[] = [];
  for (const column of table.columns) {
    const existing = there.get(column.name);
    if (existing === undefined) {
      // A second process may plan the same; both take a lock, but people run `schemas check`'s statements, too.
      statements.push(`${alter} ADD COLUMN IF NOT EXISTS ${columnSql(column)}`);
      statements.push(...columnComment(table, column, schema));
    } else if (existing.notNull && !column.notNull) {
      statements.push(`${alter} ALTER COLUMN ${pg.escapeIdentifier(column.name)} DROP NOT NULL`);
    }
  }
  const guarded = new Set(table.columns.filter((column) => column.guarded).map(({ name }) => name));
  const kept = found.guarded.filter((name) => guarded.has(name));
  if (kept.length < found.guarded.length) {
    // Every row that is there passed the stricter check: no need to read them again.
    const add =
      kept.length === 0 ? '' : `, ADD CONSTRAINT ${LIVE_CHECK} ${liveCheck(kept)} NOT VALID`;
    statements.push(`${alter} DROP CONSTRAINT ${LIVE_CHECK}${add}`);
  }
  return statements;
}

/** With its default, rows that are there have what Avro gives old records; Postgres does not rewrite them for it. */
function columnSql({ name, type, notNull, default: value }: Column): string {
  const preset = value === undefined ? '' : ` DEFAULT ${value}`;
  return `${pg.escapeIdentifier(name)} ${type}${notNull ? ' NOT NULL' : ''}${preset}`;
}

function viewChange(
  found: readonly string[] | undefined,
  table: Table,
  view: string,
  schema: string,
): string[] {
  const names = table.columns.map(({ name }) => name).filter((name) => name !== DELETED);
  const missing = names.filter((name) => found?.includes(name) !== true);
  if (missing.length === 0) return [];
  return [createView(table, view, [...(found ?? []), ...missing], schema)];
}

/** What the database would have, had the sink made the table. */
function foundOf(table: Table): Found {
  const columns = table.columns.map(({ name, type, notNull }) => ({
    ...{ name, type, notNull },
    optional: !notNull,
  }));
  const guarded = table.columns.filter((column) => column.guarded).map(({ name }) => name);
  const names = columns.map(({ name }) => name).filter((name) => name !== DELETED);
  return {
    table: { columns, uniques: [table.key], guarded },
    view: table.view === undefined ? undefined : names,
  };
}

/**
 * The change of Postgres for another schema of a topic: what `open` runs when it finds the tables of `before`.
 * @param schema of the tables, `postgres.schema`.
 */
export function planPostgresEvolution(
  before: TableModel | undefined,
  after: TableModel,
  schema = 'reachflow',
): StoreEvolution {
  return { store: 'postgres', ...planChange(before, after, schema) };
}

function planChange(
  before: TableModel | undefined,
  after: TableModel,
  schema: string,
): TableChange {
  const table = tableOf(after);
  const none: Found = { table: undefined, view: undefined };
  if (before === undefined || before.spec.table !== after.spec.table) {
    return planTable(none, table, schema);
  }
  if (before.spec.deletes && !after.spec.deletes) {
    const why = `${before.spec.table} is a view of ${tableOf(before).name}: rename it before a table without deletes can have its name`;
    return { statements: [], refused: [...table.faults, why] };
  }
  if (!before.spec.deletes && after.spec.deletes) {
    return planTable({ ...none, view: 'taken' }, table, schema);
  }
  return planTable(foundOf(tableOf(before)), table, schema);
}

/** The same, of the shape that all stores have: with the default schema. */
export const planEvolution: PlanEvolution = (before, after) => planPostgresEvolution(before, after);
