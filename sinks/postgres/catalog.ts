import type { ClientBase } from 'pg';
import pg from 'pg';
import { ReachflowError } from '../../runtime/errors.ts';
import { type Found, type FoundColumn, planTable } from './evolution.ts';
import { DELETED, LIVE_CHECK, positions, qualified, type Table } from './schema.ts';

/** How long a change of a table waits for those who use it, ms: all who come later wait behind it. */
const LOCK_TIMEOUT_MS = 3_000;

/**
 * Creates what is missing, adds the columns that are new, and checks the rest, in one transaction. Changes nothing that is
 * as it should be.
 * @throws ReachflowError `POSTGRES_TABLE_MISMATCH`, nothing changed; or what pg throws.
 */
export async function ensureTables(
  client: ClientBase,
  schema: string,
  tables: readonly Table[],
): Promise<void> {
  await client.query('BEGIN');
  try {
    // Two processes that start together would both find nothing, and one would fail to create.
    await client.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`reachflow:${schema}`]);
    await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
    const { rows } = await client.query<{ found: boolean }>(
      'SELECT to_regnamespace($1) IS NOT NULL AS found',
      [pg.escapeIdentifier(schema)],
    );
    if (rows[0]?.found !== true) {
      await client.query(`CREATE SCHEMA ${pg.escapeIdentifier(schema)}`);
    }
    for (const table of [positions, ...tables]) await ensureTable(client, schema, table);
    await client.query('COMMIT');
  } catch (error) {
    // The first error is the one to report; a connection that cannot roll back is dropped by the caller.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function ensureTable(client: ClientBase, schema: string, table: Table): Promise<void> {
  const { statements, refused } = planTable(await find(client, schema, table), table, schema);
  if (refused.length > 0) {
    throw new ReachflowError(
      `table ${schema}.${table.name} is not what the sink writes: ${refused.join('; ')}`,
      {
        code: 'POSTGRES_TABLE_MISMATCH',
        domain: 'user',
        hint: 'Alter the table as said, or point postgres.schema at another schema.',
      },
    );
  }
  for (const statement of statements) await client.query(statement);
}

/** What is there under the table's names. @throws what pg throws. */
export async function find(client: ClientBase, schema: string, table: Table): Promise<Found> {
  const name = qualified(schema, table.name);
  const columns = await columnsOf(client, name);
  const found =
    columns.length === 0
      ? undefined
      : {
          columns,
          uniques: await uniquesOf(client, name),
          guarded: await guardedOf(client, name),
        };
  if (table.view === undefined) return { table: found, view: undefined };
  const view = qualified(schema, table.view);
  const { rows } = await client.query<{ kind: string }>(
    'SELECT relkind::text AS kind FROM pg_class WHERE oid = to_regclass($1)',
    [view],
  );
  const kind = rows[0]?.kind;
  if (kind === undefined) return { table: found, view: undefined };
  if (kind !== 'v') return { table: found, view: 'taken' };
  const names = (await columnsOf(client, view)).map((column) => column.name);
  return { table: found, view: names };
}

async function columnsOf(client: ClientBase, relation: string): Promise<FoundColumn[]> {
  const { rows } = await client.query<FoundColumn>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS "notNull",
            NOT attnotnull OR atthasdef OR attidentity <> '' AS optional
     FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
     ORDER BY attnum`,
    [relation],
  );
  return rows;
}

async function uniquesOf(client: ClientBase, relation: string): Promise<string[][]> {
  const { rows } = await client.query<{ names: string[] }>(
    `SELECT array_agg(a.attname::text) AS names
     FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
     WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate
       AND i.indpred IS NULL AND i.indexprs IS NULL
     GROUP BY i.indexrelid`,
    [relation],
  );
  return rows.map(({ names }) => names);
}

async function guardedOf(client: ClientBase, relation: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT a.attname AS name
     FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
     WHERE c.conrelid = to_regclass($1) AND c.contype = 'c' AND c.conname = $2 AND a.attname <> $3`,
    [relation, LIVE_CHECK, DELETED],
  );
  return rows.map(({ name }) => name);
}
