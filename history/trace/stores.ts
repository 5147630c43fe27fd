import { createClient } from '@clickhouse/client';
import { Client } from '@elastic/elasticsearch';
import pg from 'pg';
import { errorMessage } from '../../runtime/errors.ts';
import type { StoreSpec } from '../../schemas/stores.ts';
import type { SinkConfigs } from '../../sinks/registry.ts';
import type { StoreVisit } from './model.ts';

/** A row that a record should have made. */
export interface SoughtRow {
  readonly spec: StoreSpec;
  readonly key: Readonly<Record<string, unknown>>;
  /** The visit that it is of. */
  readonly visit: string;
}

/** What a store has of a row. */
type FoundRow = Pick<StoreVisit, 'found' | 'version' | 'deleted' | 'position'>;

const NOTHING: FoundRow = { found: false, version: undefined, deleted: false, position: undefined };
const TIMEOUT_MS = 5_000;

/** Looks rows up in every store that keeps them; a store that does not answer is a problem of its rows only. */
export async function lookUpRows(
  config: SinkConfigs,
  rows: readonly SoughtRow[],
): Promise<StoreVisit[]> {
  const visits: StoreVisit[] = [];
  for (const [store, open] of Object.entries(LOOKUPS) as [StoreVisit['store'], Open][]) {
    const own = rows.filter(({ spec }) => spec.stores.includes(store));
    if (own.length === 0) continue;
    const { find, close } = open(config);
    for (const { spec, key, visit } of own) {
      const place = { store, table: spec.table, key, visit };
      try {
        visits.push({ ...place, ...(await find(spec, key)), problem: undefined });
      } catch (error) {
        visits.push({ ...place, ...NOTHING, problem: errorMessage(error).split('\n')[0] ?? '' });
      }
    }
    await close().catch(() => undefined);
  }
  return visits;
}

interface Lookup {
  readonly find: (spec: StoreSpec, key: Readonly<Record<string, unknown>>) => Promise<FoundRow>;
  readonly close: () => Promise<void>;
}

type Open = (config: SinkConfigs) => Lookup;

const LOOKUPS: Readonly<Record<StoreVisit['store'], Open>> = {
  postgres: openPostgres,
  clickhouse: openClickhouse,
  elasticsearch: openElasticsearch,
};

function openPostgres({ postgres }: SinkConfigs): Lookup {
  const pool = new pg.Pool({
    connectionString: postgres.url,
    max: 1,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
  });
  // An idle connection that breaks is replaced; without a listener it would end the process.
  pool.on('error', () => undefined);
  return {
    find: async (spec, key) => {
      // The table behind the view has deleted rows, too.
      const table = spec.deletes ? `${spec.table}_all` : spec.table;
      const names = Object.keys(key);
      const where = names.map((name, i) => `${pg.escapeIdentifier(name)}::text = $${i + 1}`);
      const from = `${pg.escapeIdentifier(postgres.schema)}.${pg.escapeIdentifier(table)}`;
      const { rows } = await pool.query<Record<string, unknown>>(
        `SELECT * FROM ${from} WHERE ${where.join(' AND ')} LIMIT 1`,
        names.map((name) => String(key[name])),
      );
      return rowOf(rows[0], spec, 'deleted');
    },
    close: () => pool.end(),
  };
}

function openClickhouse({ clickhouse }: SinkConfigs): Lookup {
  const { url, username, password, database } = clickhouse;
  const client = createClient({ url, username, password, request_timeout: TIMEOUT_MS });
  const quoted = (name: string) => `\`${name.replaceAll('`', '')}\``;
  return {
    find: async (spec, key) => {
      const names = Object.keys(key);
      const where = names.map((name, i) => `toString(${quoted(name)}) = {k${i}: String}`);
      const result = await client.query({
        query: `SELECT * FROM ${quoted(database)}.${quoted(spec.table)} FINAL WHERE ${where.join(' AND ')} LIMIT 1`,
        query_params: Object.fromEntries(names.map((name, i) => [`k${i}`, String(key[name])])),
        format: 'JSONEachRow',
        clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
      });
      const [row] = (await result.json()) as Record<string, unknown>[];
      const found = rowOf(row, spec, 'is_deleted');
      const position =
        row === undefined ? undefined : `${row['_topic_partition']}@${row['_offset']}`;
      return { ...found, position };
    },
    close: () => client.close(),
  };
}

function openElasticsearch({ elasticsearch }: SinkConfigs): Lookup {
  const { url, username, password, indexPrefix } = elasticsearch;
  const client = new Client({
    node: url,
    ...(username === '' ? {} : { auth: { username, password } }),
    maxRetries: 0,
    requestTimeout: TIMEOUT_MS,
  });
  return {
    find: async (spec, key) => {
      const parts = Object.values(key);
      const id = parts.length === 1 ? String(parts[0]) : JSON.stringify(parts.map(String));
      const { hits } = await client.search<Record<string, unknown>>({
        index: `${indexPrefix}${spec.table}`,
        query: { ids: { values: [id] } },
        version: true,
        size: 1,
        ...(spec.payload === undefined ? {} : { _source: { excludes: [...spec.payload] } }),
      });
      const [hit] = hits.hits;
      if (hit === undefined) return NOTHING;
      return { ...rowOf(hit._source ?? {}, spec, 'deleted'), version: String(hit._version) };
    },
    close: () => client.close(),
  };
}

function rowOf(
  row: Record<string, unknown> | undefined,
  spec: StoreSpec,
  deleted: string,
): FoundRow {
  if (row === undefined) return NOTHING;
  const version = spec.version === undefined ? undefined : row[spec.version];
  return {
    found: true,
    version: version === undefined ? undefined : String(version),
    deleted: row[deleted] === true || row[deleted] === 1,
    position: undefined,
  };
}
