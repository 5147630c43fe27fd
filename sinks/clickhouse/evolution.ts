import type { PlanEvolution } from '../evolution.ts';
import type { FieldType } from '../fields.ts';
import {
  type Column,
  columnSql,
  createTableSql,
  literal,
  qualified,
  type Table,
  tableOf,
} from './tables.ts';
import { holds, parseColumnType } from './types.ts';

/** What the server says of an existing table. */
export interface FoundTable {
  readonly engine: string;
  readonly engineFull: string;
  readonly sortingKey: string;
  /** Types by name, as the server prints them. */
  readonly columns: ReadonlyMap<string, string>;
}

/** How to make a table what the sink needs: statements in order, and what no statement can. */
export interface TablePlan {
  readonly statements: readonly string[];
  readonly refused: readonly string[];
}

/** An Avro default (JSON) as SQL; undefined where the column's own default is the same, or no literal says it. */
function defaultSql(type: FieldType, value: unknown): string | undefined {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (type.kind === 'timestamp') return `fromUnixTimestamp64Milli(${value}, 'UTC')`;
    return type.kind === 'date' ? `toDate32(${value})` : String(value);
  }
  if (typeof value === 'string') return literal(value);
  if (type.kind === 'array' && Array.isArray(value) && value.length > 0) {
    const items = value.map((item: unknown) => defaultSql(type.items, item) ?? 'NULL');
    return `[${items.join(', ')}]`;
  }
  return undefined;
}

function addColumn(name: string, column: Column): string {
  const { source } = column;
  const field = source.from === 'field' ? source.field : undefined;
  const value = field === undefined ? undefined : defaultSql(field.type, field.default);
  return `ALTER TABLE ${name} ADD COLUMN IF NOT EXISTS ${columnSql(column, value)}`;
}

/** What the server does not let one alter, or what would no longer order and replace rows as the sink needs. */
function structureFaults(table: Table, found: FoundTable): string[] {
  const faults: string[] = [];
  const replacing = table.replacing.join(', ');
  if (!found.engine.endsWith('ReplacingMergeTree')) {
    faults.push(`its engine is ${found.engine}, not ReplacingMergeTree`);
  } else if (!replacingArguments(found.engineFull).endsWith(replacing)) {
    faults.push(`its engine does not replace by ${replacing}`);
  }
  // Servers differ in whether they print the brackets.
  const sortingKey = found.sortingKey.replace(/^\((.*)\)$/, '$1');
  if (sortingKey !== table.orderBy.join(', ')) {
    faults.push(`it is ordered by (${sortingKey}), not (${table.orderBy.join(', ')})`);
  }
  return faults;
}

/** Of `ReplicatedReplacingMergeTree('/path', '{replica}', version, is_deleted) ORDER BY …`, what is in the brackets. */
function replacingArguments(engineFull: string): string {
  return /^\w+\(((?:'[^']*'|[^')])*)\)/.exec(engineFull)?.[1] ?? '';
}

/** How a column that is there has to change; a statement, a refusal, or nothing. */
function changeOf(
  name: string,
  table: Table,
  column: Column,
  actual: string,
): { readonly statement?: string; readonly refused?: string } {
  const found = parseColumnType(actual);
  const wanted = parseColumnType(column.type);
  if (wanted === undefined) throw new Error(`the sink makes no column of type ${column.type}`);
  if (found !== undefined && holds(found, wanted)) return {};
  const isKey = [...table.orderBy, ...table.replacing].includes(column.name);
  if (found === undefined || isKey || !holds(wanted, found)) {
    return { refused: `${column.name} is ${actual}, not ${column.type}` };
  }
  return { statement: `ALTER TABLE ${name} MODIFY COLUMN ${columnSql(column)}` };
}

/**
 * How an existing table becomes what the sink needs, additively: columns are added and widened, never dropped or
 * narrowed; those that the sink does not know, and wider ones, stay. Replicated and shared variants of the engine fit,
 * and any partitioning. Pure.
 * @param name qualified. @param found undefined when there is no table.
 */
export function planTable(name: string, table: Table, found: FoundTable | undefined): TablePlan {
  if (found === undefined) return { statements: [createTableSql(name, table)], refused: [] };
  const refused = structureFaults(table, found);
  const statements: string[] = [];
  for (const column of table.columns) {
    const actual = found.columns.get(column.name);
    if (actual === undefined) {
      // A value for the rows that are there: only the record's own fields have one.
      if (column.source.from === 'field') statements.push(addColumn(name, column));
      else refused.push(`no column ${column.name}`);
      continue;
    }
    const change = changeOf(name, table, column, actual);
    if (change.refused !== undefined) refused.push(change.refused);
    if (change.statement !== undefined) statements.push(change.statement);
  }
  return refused.length > 0 ? { statements: [], refused } : { statements, refused };
}

function asFound(table: Table): FoundTable {
  return {
    engine: 'ReplacingMergeTree',
    engineFull: `ReplacingMergeTree(${table.replacing.join(', ')})`,
    sortingKey: table.orderBy.join(', '),
    columns: new Map(table.columns.map(({ name, type }) => [name, type])),
  };
}

function renamed(before: Table, after: Table): string[] {
  const faults: string[] = [];
  if (before.name !== after.name) faults.push(`the table ${before.name} becomes ${after.name}`);
  if (before.partitionBy !== after.partitionBy) {
    faults.push(`it is partitioned by ${before.partitionBy}, not ${after.partitionBy}`);
  }
  return faults;
}

/** The change of a table that the sink made, for `schemas check`; names without database. */
export const planEvolution: PlanEvolution = (before, after) => {
  const [old, table] = [before && tableOf(before), tableOf(after)];
  const plan = planTable(qualified(undefined, table.name), table, old && asFound(old));
  const refused = [...(old === undefined ? [] : renamed(old, table)), ...plan.refused];
  return { store: 'clickhouse', statements: refused.length > 0 ? [] : plan.statements, refused };
};
