import type { ClientBase } from 'pg';
import pg from 'pg';
import { ReachflowError } from '../../runtime/errors.ts';

export const TABLE = 'contacts_all';
export const VIEW = 'contacts';

/** A column of `contacts_all`, and how its values travel: `unnest` takes one array of `wire` per column. */
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly wire: string;
  /** SQL from the unnested value (named as the column) to the column's type. */
  readonly convert?: (value: string) => string;
}

const text = (name: string): Column => ({ name, type: 'text', wire: 'text' });

/** Milliseconds since the epoch; exact, since a double holds every millisecond that a timestamptz can. */
const instant = (name: string): Column => ({
  name,
  type: 'timestamp with time zone',
  wire: 'bigint',
  convert: (ms) => `to_timestamp(${ms}::double precision / 1000)`,
});

/** The row of a contact; a deleted one keeps only id, version and deleted. */
export const COLUMNS: readonly Column[] = [
  text('id'),
  text('tenant_id'),
  text('full_name'),
  text('email'),
  text('phone'),
  text('company_id'),
  text('company'),
  text('company_domain'),
  text('industry'),
  {
    name: 'tags',
    type: 'text[]',
    // Postgres has no arrays of unequal arrays, so each row's tags travel as JSON text.
    wire: 'text',
    convert: (json) => `ARRAY(SELECT json_array_elements_text(${json}::json))`,
  },
  { name: 'score', type: 'real', wire: 'real' },
  instant('created_at'),
  instant('updated_at'),
  { name: 'version', type: 'bigint', wire: 'bigint' },
  { name: 'deleted', type: 'boolean', wire: 'boolean' },
];

const NEVER_NULL = new Set(['id', 'tags', 'version', 'deleted']);
const NULL_WHEN_DELETED = ['tenant_id', 'full_name', 'email', 'created_at', 'updated_at'];

/** `schema.name`, quoted. */
export function qualified(schema: string, name: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

/**
 * The upsert: one statement whatever the number of rows, ids distinct. `$n` is the array of column n.
 * An existing row yields only to a greater version, so repeats and stale writes change nothing.
 */
export function upsertSql(schema: string): string {
  const names = COLUMNS.map((column) => column.name);
  const arrays = COLUMNS.map((column, i) => `$${i + 1}::${column.wire}[]`);
  const values = COLUMNS.map(({ name, convert }) => convert?.(`r.${name}`) ?? `r.${name}`);
  const updates = names.filter((name) => name !== 'id').map((name) => `${name} = excluded.${name}`);
  return [
    `INSERT INTO ${qualified(schema, TABLE)} AS t (${names.join(', ')})`,
    `SELECT ${values.join(', ')}`,
    `FROM unnest(${arrays.join(', ')}) AS r (${names.join(', ')})`,
    `ON CONFLICT (id) DO UPDATE SET ${updates.join(', ')}`,
    'WHERE t.version < excluded.version',
  ].join('\n');
}

function tableSql(schema: string): string {
  const columns = COLUMNS.map(({ name, type }) => {
    const key = name === 'id' ? ' PRIMARY KEY' : '';
    return `${name} ${type}${NEVER_NULL.has(name) ? ' NOT NULL' : ''}${key}`;
  });
  const complete = NULL_WHEN_DELETED.map((name) => `${name} IS NOT NULL`).join(' AND ');
  return `CREATE TABLE ${qualified(schema, TABLE)} (
    ${columns.join(',\n    ')},
    CONSTRAINT live_is_complete CHECK (deleted OR (${complete}))
  )`;
}

function viewSql(schema: string): string {
  const names = COLUMNS.map((column) => column.name).filter((name) => name !== 'deleted');
  return `CREATE VIEW ${qualified(schema, VIEW)} AS
    SELECT ${names.join(', ')} FROM ${qualified(schema, TABLE)} WHERE NOT deleted`;
}

function commentSql(schema: string): string {
  return `COMMENT ON TABLE ${qualified(schema, TABLE)} IS
    'Contacts by id, with deleted ones as empty rows: their version keeps stale writes out. Read the view ${VIEW}.'`;
}

async function exists(client: ClientBase, query: string, name: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>(`SELECT ${query} AS found`, [name]);
  return rows[0]?.found === true;
}

/**
 * Creates what is missing and checks what is there, in one transaction. Creates nothing that exists, so a role
 * that may only read and write is enough once the tables are made.
 * @throws ReachflowError `POSTGRES_TABLE_MISMATCH`, or what pg throws.
 */
export async function ensureSchema(client: ClientBase, schema: string): Promise<void> {
  await client.query('BEGIN');
  try {
    // Two processes that start together would both find nothing, and one would fail to create.
    await client.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`reachflow:${schema}`]);
    if (!(await exists(client, 'to_regnamespace($1) IS NOT NULL', pg.escapeIdentifier(schema)))) {
      await client.query(`CREATE SCHEMA ${pg.escapeIdentifier(schema)}`);
    }
    if (!(await exists(client, 'to_regclass($1) IS NOT NULL', qualified(schema, TABLE)))) {
      await client.query(tableSql(schema));
      await client.query(commentSql(schema));
    }
    await checkTable(client, schema);
    if (!(await exists(client, 'to_regclass($1) IS NOT NULL', qualified(schema, VIEW)))) {
      await client.query(viewSql(schema));
    }
    await client.query('COMMIT');
  } catch (error) {
    // The first error is the one to report; a connection that cannot roll back is dropped by the caller.
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

interface Attribute {
  readonly name: string;
  readonly type: string;
  /** NOT NULL without a default: an insert that does not name it fails. */
  readonly required: boolean;
  readonly unique: boolean;
}

async function checkTable(client: ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query<Attribute>(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
            a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS required,
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
                    AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND i.indpred IS NULL) AS unique
     FROM pg_attribute a
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`,
    [qualified(schema, TABLE)],
  );
  const differences = tableDifferences(rows);
  if (differences.length === 0) return;
  throw new ReachflowError(
    `table ${schema}.${TABLE} is not what the sink writes: ${differences.join('; ')}`,
    {
      code: 'POSTGRES_TABLE_MISMATCH',
      domain: 'user',
      hint: 'Alter the table, or point postgres.schema at another schema.',
    },
  );
}

/** How a table's columns differ from what the upsert needs; extra columns may be there if they may be left out. */
export function tableDifferences(found: readonly Attribute[]): readonly string[] {
  const byName = new Map(found.map((attribute) => [attribute.name, attribute]));
  const differences: string[] = [];
  for (const { name, type } of COLUMNS) {
    const attribute = byName.get(name);
    if (attribute === undefined) differences.push(`no column ${name}`);
    else if (attribute.type !== type) differences.push(`${name} is ${attribute.type}, not ${type}`);
    byName.delete(name);
  }
  if (found.some(({ name, unique }) => name === 'id' && !unique))
    differences.push('id is not unique');
  for (const { name, required } of byName.values()) {
    if (required) differences.push(`extra column ${name} has neither a default nor may it be null`);
  }
  return differences;
}
