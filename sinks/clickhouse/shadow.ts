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
import type { ClickhouseConfig } from './config.ts';
import { ClickhouseSession } from './session.ts';
import { qualified, quoted } from './tables.ts';

type Params = Readonly<Record<string, unknown>>;

/** Whole numbers as text: JSON's readers have doubles only. */
const SETTINGS = { output_format_json_quote_64bit_integers: '1' };

/** Keys of one look-up: they are in the URL of the request. */
const LOOKUP_KEYS = 200;

/** Tables of a replay in ClickHouse: exchanged each at once, `EXCHANGE TABLES`. */
class ClickhouseShadow implements ShadowStore {
  readonly store = 'clickhouse';
  readonly #session: ClickhouseSession;
  readonly #database: string;

  constructor(config: ClickhouseConfig) {
    this.#session = new ClickhouseSession(config);
    this.#database = config.database;
  }

  async *scan(model: TableModel): AsyncIterable<readonly StoredRow[]> {
    const key = keyOf(model);
    const order = key.map(({ name }) => quoted(name)).join(', ');
    let after: readonly string[] | undefined;
    for (;;) {
      const { sql, params } = after === undefined ? NONE : condition(key, [after], '>');
      const rows = await this.#rows(
        model,
        `${sql === '' ? '' : `WHERE ${sql} `}ORDER BY ${order} LIMIT ${SCAN_ROWS}`,
        params,
      );
      if (rows.length > 0) yield rows;
      after = rows.at(-1)?.key;
      if (rows.length < SCAN_ROWS) return;
    }
  }

  async lookup(model: TableModel, keys: readonly (readonly string[])[]): Promise<StoredRow[]> {
    const found: StoredRow[] = [];
    for (let i = 0; i < keys.length; i += LOOKUP_KEYS) {
      const { sql, params } = condition(keyOf(model), keys.slice(i, i + LOOKUP_KEYS), '=');
      found.push(...(await this.#rows(model, `WHERE ${sql}`, params)));
    }
    return found;
  }

  async #rows(model: TableModel, tail: string, params: Params): Promise<StoredRow[]> {
    const key = keyOf(model);
    const columns = model.fields.map(({ name, type }) =>
      type.kind === 'timestamp'
        ? `toUnixTimestamp64Milli(${quoted(name)}) AS ${quoted(`=${name}`)}`
        : `${quoted(name)} AS ${quoted(`=${name}`)}`,
    );
    const from = qualified(this.#database, model.spec.table);
    const rows = await this.#session.rows<Readonly<Record<string, unknown>>>(
      `SELECT ${columns.join(', ')} FROM ${from} FINAL ${tail}`,
      params,
      SETTINGS,
    );
    return rows.map((row) => {
      const fields = Object.fromEntries(
        model.fields.map(({ name }) => [name, textOf(row[`=${name}`])]),
      );
      return { key: key.map(({ name }) => fields[name] ?? ''), fields };
    });
  }

  async plan(live: readonly TableModel[], shadows: readonly TableModel[]): Promise<Exchange[]> {
    const [database] = await this.#session.rows<{ engine: string }>(
      'SELECT engine FROM system.databases WHERE name = {database: String}',
      { database: this.#database },
    );
    if (database !== undefined && !['Atomic', 'Replicated', 'Shared'].includes(database.engine)) {
      throw cannotSwap(
        `the database ${this.#database} has the engine ${database.engine}, which exchanges no tables`,
        'Convert it to Atomic.',
      );
    }
    const exchanges: Exchange[] = [];
    for (const [i, model] of live.entries()) {
      const [name, shadow] = [model.spec.table, (shadows[i] ?? model).spec.table];
      await this.#refuseViews(name);
      const [liveId, shadowId] = [await this.#uuid(name), await this.#uuid(shadow)];
      exchanges.push({ topic: model.topic, live: name, shadow, liveId, shadowId });
    }
    return exchanges;
  }

  /** What a view has filled its table with was made of the rows that are exchanged. */
  async #refuseViews(table: string): Promise<void> {
    const [row] = await this.#session.rows<{ dependencies_table: readonly string[] }>(
      'SELECT dependencies_table FROM system.tables WHERE database = {database: String} AND name = {table: String}',
      { database: this.#database, table },
    );
    if (row === undefined || row.dependencies_table.length === 0) return;
    throw cannotSwap(
      `materialized views are filled by ${table}, and hold what was made of its old rows: ${row.dependencies_table.join(', ')}`,
      'Drop them, and make and fill them anew after the swap.',
    );
  }

  async #uuid(table: string): Promise<string> {
    const [row] = await this.#session.rows<{ uuid: string }>(
      'SELECT toString(uuid) AS uuid FROM system.tables WHERE database = {database: String} AND name = {table: String}',
      { database: this.#database, table },
    );
    if (row !== undefined) return row.uuid;
    throw cannotSwap(`there is no table ${table}`, 'Has the live pipeline run, and the replay?');
  }

  async exchange(exchanges: readonly Exchange[], side: Side): Promise<void> {
    for (const { live, shadow, liveId, shadowId } of exchanges) {
      if ((await this.#uuid(live)) === (side === 'live' ? liveId : shadowId)) continue;
      const [a, b] = [qualified(this.#database, live), qualified(this.#database, shadow)];
      await this.#session.command(`EXCHANGE TABLES ${a} AND ${b}`);
    }
  }

  async drop(shadows: readonly TableModel[]): Promise<void> {
    for (const { spec } of shadows) {
      const name = qualified(this.#database, spec.table);
      await this.#session.command(`DROP TABLE IF EXISTS ${name} SYNC`);
    }
  }

  async room(): Promise<number | undefined> {
    const [row] = await this.#session.rows<{ free: string }>(
      'SELECT toString(sum(unreserved_space)) AS free FROM system.disks',
      {},
    );
    return row === undefined ? undefined : Number(row.free);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}

const NONE = { sql: '', params: {} };

/** Compares the key with some keys' values. */
function condition(
  key: readonly KeyField[],
  keys: readonly (readonly string[])[],
  operator: '>' | '=',
): { readonly sql: string; readonly params: Params } {
  const params: Record<string, unknown> = {};
  const tuples = keys.map((values, k) => {
    const parts = key.map(({ kind }, i) => {
      const name = `k${k}_${i}`;
      params[name] = values[i];
      if (kind === 'text') return `{${name}: String}`;
      const number = `{${name}: Int64}`;
      return kind === 'time' ? `fromUnixTimestamp64Milli(${number}, 'UTC')` : number;
    });
    return `(${parts.join(', ')})`;
  });
  const names = `(${key.map(({ name }) => quoted(name)).join(', ')})`;
  if (operator === '>') return { sql: `${names} > ${tuples.join(', ')}`, params };
  return { sql: `${names} IN (${tuples.join(', ')})`, params };
}

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function cannotSwap(message: string, hint: string): ReachflowError {
  return new ReachflowError(message, { code: 'SHADOW_CANNOT_SWAP', domain: 'user', hint });
}

/** ClickHouse as a replay sees it. Connects when first used. */
export function createClickhouseShadow(config: ClickhouseConfig): ShadowStore {
  return new ClickhouseShadow(config);
}
