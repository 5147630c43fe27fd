import pg from 'pg';
import { ReachflowError } from '../../runtime/errors.ts';
import type { TableModel } from '../fields.ts';
import {
  type Exchange,
  type KeyField,
  keyOf,
  SCAN_ROWS,
  type ShadowStore,
  type Side,
  type StoredRow,
} from '../shadow.ts';
import type { PostgresConfig } from './config.ts';
import { POSITIONS, positionsOwner, qualified, tableOf } from './schema.ts';

/** How long the swap waits for those who read the tables, ms: all who come later wait behind it. */
const LOCK_TIMEOUT_MS = 10_000;

/** Tables of a replay in Postgres: compared through the views, exchanged by their names in one transaction. */
class PostgresShadow implements ShadowStore {
  readonly store = 'postgres';
  readonly #config: PostgresConfig;
  readonly #pool: pg.Pool;

  constructor(config: PostgresConfig) {
    this.#config = config;
    this.#pool = new pg.Pool({
      connectionString: config.url,
      max: 4,
      connectionTimeoutMillis: config.connectTimeoutMs,
      application_name: 'reachflow-replay',
    });
    this.#pool.on('error', () => undefined);
  }

  async *scan(model: TableModel): AsyncIterable<readonly StoredRow[]> {
    const key = keyOf(model);
    const client = await this.#pool.connect();
    let broken = true;
    try {
      await client.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const order = key.map((field) => orderOf(field)).join(', ');
      await client.query(
        `DECLARE rows NO SCROLL CURSOR FOR ${this.#select(model)} ORDER BY ${order}`,
      );
      for (;;) {
        const { rows } = await client.query<Row>(`FETCH ${SCAN_ROWS} FROM rows`);
        if (rows.length === 0) break;
        yield rows.map((row) => stored(key, row));
      }
      await client.query('COMMIT');
      broken = false;
    } finally {
      client.release(broken);
    }
  }

  async lookup(model: TableModel, keys: readonly (readonly string[])[]): Promise<StoredRow[]> {
    const key = keyOf(model);
    const [first] = key;
    if (first === undefined || keys.length === 0) return [];
    const names = key.map((field) => textOf(field));
    const arrays = key.map((_, i) => `$${i + 1}::text[]`);
    const { rows } = await this.#pool.query<Row>(
      `${this.#select(model)} WHERE (${names.join(', ')}) IN (SELECT * FROM unnest(${arrays.join(', ')}))`,
      key.map((_, i) => keys.map((values) => values[i])),
    );
    return rows.map((row) => stored(key, row));
  }

  #select(model: TableModel): string {
    const columns = model.fields.map(({ name, type }) =>
      textOf({ name, kind: type.kind === 'timestamp' ? 'time' : 'text' }),
    );
    const named = columns.map((sql, i) => `${sql} AS c${i}`);
    const names = model.fields.map(({ name }) => pg.escapeLiteral(name));
    const pairs = names.map((name, i) => `${name}, c${i}`).join(', ');
    // The outer one gives a row as one value, whatever its columns are called.
    const from = qualified(this.#config.schema, model.spec.table);
    return `SELECT json_build_object(${pairs}) AS row, t.* FROM (SELECT *, ${named.join(', ')} FROM ${from}) AS t`;
  }

  async plan(live: readonly TableModel[], shadows: readonly TableModel[]): Promise<Exchange[]> {
    const exchanges: Exchange[] = [];
    for (const [i, model] of live.entries()) {
      const [name, shadow] = [tableOf(model).name, tableOf(shadows[i] ?? model).name];
      const [liveId, shadowId] = [await this.#oid(name), await this.#oid(shadow)];
      await this.#refuseDependents(model, name);
      exchanges.push({ topic: model.topic, live: name, shadow, liveId, shadowId });
    }
    return exchanges;
  }

  async #oid(table: string): Promise<string> {
    const { rows } = await this.#pool.query<{ oid: string | null }>(
      'SELECT to_regclass($1)::oid::text AS oid',
      [qualified(this.#config.schema, table)],
    );
    const oid = rows[0]?.oid;
    if (oid === null || oid === undefined) throw cannotSwap(`there is no table ${table}`, RUN_IT);
    return oid;
  }

  /** Views follow a table, not its name: those that others made on it would go on to show the old rows. */
  async #refuseDependents(model: TableModel, table: string): Promise<void> {
    const { rows } = await this.#pool.query<{ name: string }>(
      `SELECT DISTINCT c.oid::regclass::text AS name FROM pg_depend d
       JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
       JOIN pg_class c ON c.oid = r.ev_class
       WHERE d.refobjid = to_regclass($1)::oid AND c.oid <> d.refobjid AND c.oid IS DISTINCT FROM to_regclass($2)::oid`,
      [
        qualified(this.#config.schema, table),
        qualified(this.#config.schema, model.spec.deletes ? model.spec.table : ''),
      ],
    );
    if (rows.length === 0) return;
    const names = rows.map(({ name }) => name).join(', ');
    throw cannotSwap(
      `${names} would still show the old rows of ${table}`,
      model.spec.deletes
        ? `Let them read the view ${model.spec.table}.`
        : 'Drop them, and make them anew after the swap.',
    );
  }

  async exchange(exchanges: readonly Exchange[], side: Side, suffix: string): Promise<void> {
    const client = await this.#pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      for (const one of exchanges) await this.#exchangeOne(client, one, side, suffix);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  }

  /** Tables, views and positions of a topic; nothing when they are as they should be. */
  async #exchangeOne(
    client: pg.PoolClient,
    { topic, live, shadow, liveId, shadowId }: Exchange,
    side: Side,
    suffix: string,
  ): Promise<void> {
    const { schema } = this.#config;
    const { rows } = await client.query<{ oid: string | null }>(
      'SELECT to_regclass($1)::oid::text AS oid',
      [qualified(schema, live)],
    );
    if (rows[0]?.oid === (side === 'live' ? liveId : shadowId)) return;
    const rename = (from: string, to: string) =>
      client.query(`ALTER TABLE ${qualified(schema, from)} RENAME TO ${pg.escapeIdentifier(to)}`);
    const between = `reachflow_swap_${liveId}`;
    await rename(live, between);
    await rename(shadow, live);
    await rename(between, shadow);
    await exchangeViews(client, schema, live, shadow);
    await exchangePositions(client, schema, topic, suffix);
  }

  async drop(shadows: readonly TableModel[], suffix: string): Promise<void> {
    const { schema } = this.#config;
    for (const model of shadows) {
      await this.#pool.query(
        `DROP TABLE IF EXISTS ${qualified(schema, tableOf(model).name)} CASCADE`,
      );
    }
    const { rows } = await this.#pool.query<{ found: boolean }>(
      'SELECT to_regclass($1) IS NOT NULL AS found',
      [qualified(schema, POSITIONS)],
    );
    if (rows[0]?.found !== true) return;
    await this.#pool.query(`DELETE FROM ${qualified(schema, POSITIONS)} WHERE sink = $1`, [
      positionsOwner(suffix),
    ]);
  }

  async room(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

interface Row {
  readonly row: Readonly<Record<string, string | null>>;
}

const RUN_IT = 'Has the live pipeline run, and the replay?';

function cannotSwap(message: string, hint: string): ReachflowError {
  return new ReachflowError(message, { code: 'SHADOW_CANNOT_SWAP', domain: 'user', hint });
}

function textOf({ name, kind }: KeyField): string {
  const column = pg.escapeIdentifier(name);
  return kind === 'time'
    ? `(extract(epoch FROM ${column}) * 1000)::bigint::text`
    : `${column}::text`;
}

function orderOf({ name, kind }: KeyField): string {
  return kind === 'text'
    ? `t.${pg.escapeIdentifier(name)} COLLATE "C"`
    : `t.${pg.escapeIdentifier(name)}`;
}

function stored(key: readonly KeyField[], { row }: Row): StoredRow {
  return { key: key.map(({ name }) => row[name] ?? ''), fields: row };
}

/**
 * The view that readers use is redefined rather than renamed: views that others made on it follow. Nobody reads the
 * replay's.
 */
async function exchangeViews(
  client: pg.PoolClient,
  schema: string,
  live: string,
  shadow: string,
): Promise<void> {
  const definition = async (table: string): Promise<[string, string] | undefined> => {
    const view = table.replace(/_all$/, '');
    if (view === table) return undefined;
    const { rows } = await client.query<{ sql: string }>(
      `SELECT pg_get_viewdef(c.oid) AS sql FROM pg_class c WHERE c.oid = to_regclass($1) AND c.relkind = 'v'`,
      [qualified(schema, view)],
    );
    return rows[0] === undefined ? undefined : [view, rows[0].sql];
  };
  const [liveView, shadowView] = [await definition(live), await definition(shadow)];
  if (liveView === undefined || shadowView === undefined) return;
  const columns = async (view: string) => {
    const { rows } = await client.query<{ name: string }>(
      'SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum',
      [qualified(schema, view)],
    );
    return rows.map(({ name }) => name);
  };
  const select = (names: readonly string[], table: string) =>
    `SELECT ${names.map((name) => pg.escapeIdentifier(name)).join(', ')} FROM ${qualified(schema, table)} WHERE NOT deleted`;
  const [ofLive, ofShadow] = [await columns(liveView[0]), await columns(shadowView[0])];
  // Columns of a view may be added at its end only.
  const kept = ofLive.filter((name) => ofShadow.includes(name));
  const grown = [...kept, ...ofShadow.filter((name) => !ofLive.includes(name))];
  const isGone = kept.length < ofLive.length;
  if (isGone) await client.query(`DROP VIEW ${qualified(schema, liveView[0])}`);
  await client.query(
    `CREATE OR REPLACE VIEW ${qualified(schema, liveView[0])} AS ${select(grown, live)}`,
  );
  await client.query(`DROP VIEW ${qualified(schema, shadowView[0])}`);
  await client.query(
    `CREATE VIEW ${qualified(schema, shadowView[0])} AS ${select(ofLive, shadow)}`,
  );
}

/** The positions go with the rows. Epochs are above those of both, which fences whoever still wrote. */
async function exchangePositions(
  client: pg.PoolClient,
  schema: string,
  topic: string,
  suffix: string,
): Promise<void> {
  const table = qualified(schema, POSITIONS);
  const [live, shadow, between] = [
    positionsOwner(),
    positionsOwner(suffix),
    `${positionsOwner(suffix)}~`,
  ];
  const owners = [live, shadow];
  await client.query(
    `UPDATE ${table} p SET epoch = (SELECT max(q.epoch) + 1 FROM ${table} q
       WHERE q.topic = p.topic AND q.partition = p.partition AND q.sink = ANY($2))
     WHERE p.topic = $1 AND p.sink = ANY($2)`,
    [topic, owners],
  );
  for (const [from, to] of [
    [live, between],
    [shadow, live],
    [between, shadow],
  ]) {
    await client.query(`UPDATE ${table} SET sink = $2 WHERE topic = $3 AND sink = $1`, [
      from,
      to,
      topic,
    ]);
  }
}

/** Postgres as a replay sees it. Connects when first used. */
export function createPostgresShadow(config: PostgresConfig): ShadowStore {
  return new PostgresShadow(config);
}
