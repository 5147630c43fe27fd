import pg from 'pg';
import type { TableModel } from '../fields.ts';
import { DELETED, nameList, POSITIONS, qualified, tableOf } from './schema.ts';
import { type ColumnType, columnType } from './types.ts';

const DELETED_TYPE = columnType({ kind: 'boolean' });

/** A column as a statement gets it: `$n` is the array of the n-th. */
export interface Parameter {
  readonly name: string;
  readonly type: ColumnType;
}

/** The columns of a topic's rows, in the order of the statements' parameters. */
export function parametersOf({ fields, spec }: TableModel): Parameter[] {
  const parameters = fields.map(({ name, type }) => ({ name, type: columnType(type) }));
  return spec.deletes ? [...parameters, { name: DELETED, type: DELETED_TYPE }] : parameters;
}

/**
 * One insert whatever the number of rows, their keys distinct where `kind` is `upsert`. A row that is there yields to a
 * greater version only, so that repeats and stale writes change nothing; appended rows never change.
 * @param condition SQL that each row depends on; empty for none.
 */
function insertSql(model: TableModel, schema: string, condition: string): string {
  const { spec } = model;
  const parameters = parametersOf(model);
  const names = parameters.map(({ name }) => name);
  const arrays = parameters.map(({ type }, i) => `$${i + 1}::${type.wire}[]`);
  const values = parameters.map(({ name, type }) => {
    const value = `r.${pg.escapeIdentifier(name)}`;
    return type.cast ? `${value}::${type.sql}` : value;
  });
  return [
    `INSERT INTO ${qualified(schema, tableOf(model).name)} AS t (${nameList(names)})`,
    `SELECT ${values.join(', ')}`,
    `FROM unnest(${arrays.join(', ')}) AS r (${nameList(names)})`,
    ...(condition === '' ? [] : [`WHERE ${condition}`]),
    `ON CONFLICT (${nameList(spec.key)}) ${onConflict(model, names)}`,
  ].join('\n');
}

function onConflict({ spec }: TableModel, names: readonly string[]): string {
  if (spec.kind === 'append' || spec.version === undefined) return 'DO NOTHING';
  const updates = names
    .filter((name) => !spec.key.includes(name))
    .map((name) => pg.escapeIdentifier(name))
    .map((name) => `${name} = excluded.${name}`);
  const version = pg.escapeIdentifier(spec.version);
  return `DO UPDATE SET ${updates.join(', ')}\nWHERE t.${version} < excluded.${version}`;
}

/** Moves a position, `$first` and up: sink, topic, partition, epoch, start, end. No row when it is not the caller's. */
function moveSql(schema: string, first: number): string {
  const $ = (i: number) => `$${first + i}`;
  return `UPDATE ${qualified(schema, POSITIONS)} SET next_offset = ${$(5)}::bigint, updated_at = now()
WHERE sink = ${$(0)}::text AND topic = ${$(1)}::text AND partition = ${$(2)}::integer AND epoch = ${$(3)}::bigint
  AND (next_offset = ${$(4)}::bigint OR next_offset IS NULL)
RETURNING 1`;
}

/** The statements that write a topic. */
export interface WriteStatements {
  /** Rows beside the stream. */
  readonly rows: string;
  /**
   * Rows and position in one statement, which is one transaction and one round trip. The insert depends on the moved
   * row, so that the position is locked first, and nothing is inserted where it does not move. Answers `moved`, 0 or 1.
   * As fast as the rows alone; BEGIN, both and COMMIT, one after the other, were 16 % slower over loopback.
   */
  readonly rowsAndMove: string;
}

export function writeStatements(model: TableModel, schema: string): WriteStatements {
  const first = parametersOf(model).length + 1;
  const insert = insertSql(model, schema, 'EXISTS (SELECT FROM moved)');
  return {
    rows: insertSql(model, schema, ''),
    rowsAndMove: `WITH moved AS (\n${moveSql(schema, first)}\n), written AS (\n${insert}\n)\nSELECT count(*)::integer AS moved FROM moved`,
  };
}

/** The statements on positions. */
export interface PositionStatements {
  /** Moves a position: `$1` and up as of `rowsAndMove`. The number of rows says whether it moved. */
  readonly move: string;
  /** Takes a partition over: sink, topic, partition. Waits for the transaction of the owner before, if one is open. */
  readonly claim: string;
}

export function positionStatements(schema: string): PositionStatements {
  return {
    move: moveSql(schema, 1),
    claim: `INSERT INTO ${qualified(schema, POSITIONS)} AS p (sink, topic, partition, epoch, topic_id, updated_at)
VALUES ($1, $2, $3, 1, $4, now())
ON CONFLICT (sink, topic, partition) DO UPDATE SET epoch = p.epoch + 1, updated_at = now(),
  topic_id = CASE WHEN p.next_offset IS NULL THEN EXCLUDED.topic_id ELSE coalesce(p.topic_id, EXCLUDED.topic_id) END
RETURNING epoch, next_offset, topic_id`,
  };
}
