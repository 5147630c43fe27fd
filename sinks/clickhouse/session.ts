import { Readable } from 'node:stream';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { ReachflowError } from '../../runtime/errors.ts';
import type { ClickhouseConfig } from './config.ts';

/** More than any batch: an insert then is one block in the server, which is written, and remembered, whole. */
const BLOCK_ROWS = '1048449';
const BLOCK_BYTES = '268402944';

/** What inserts depend on. `open` checks that the server lets them have it. */
const INSERT_SETTINGS: Readonly<Record<string, string>> = {
  // On by default since 26.x; batches that are batches already would only wait for company.
  async_insert: '0',
  insert_deduplicate: '1',
  // Of newer servers, where it overrides the one above.
  deduplicate_insert: 'enable',
  deduplicate_blocks_in_dependent_materialized_views: '1',
  // A view that misses a batch would never get it: the repeat is dropped before it.
  materialized_views_ignore_errors: '0',
  max_insert_block_size: BLOCK_ROWS,
  max_insert_block_size_bytes: '0',
  min_insert_block_size_rows: BLOCK_ROWS,
  min_insert_block_size_bytes: BLOCK_BYTES,
  input_format_max_block_size_bytes: '0',
  input_format_max_block_wait_ms: '0',
  // Old events of many months in one batch are slow, not wrong.
  max_partitions_per_insert_block: '0',
  // A column that is gone, or has another type, is an error, not a default or a misread row.
  input_format_with_names_use_header: '1',
  input_format_with_types_use_header: '1',
  input_format_skip_unknown_fields: '0',
  // The status line then tells of errors that happen after the first bytes.
  wait_end_of_query: '1',
};

/** Without these a server gives no guarantee at all; the others are of servers that need them. */
const REQUIRED = ['insert_deduplicate', 'deduplicate_blocks_in_dependent_materialized_views'];

/** What an insert carries. */
export interface Insert {
  /** Qualified. */
  readonly table: string;
  /** Names and types. */
  readonly header: Buffer;
  readonly rows: Buffer;
  readonly token: string;
}

/** The sink's connections to a server. */
export class ClickhouseSession {
  readonly #client: ClickHouseClient;
  #insertSettings: Readonly<Record<string, string>> = {};

  constructor(config: ClickhouseConfig) {
    this.#client = createClient({
      url: config.url,
      username: config.username,
      password: config.password,
      application: 'reachflow-sink',
      request_timeout: config.requestTimeoutMs,
      max_open_connections: config.maxConnections,
      // Its logger writes to the console; what it knows is in the errors it throws.
      log: { level: ClickHouseLogLevel.OFF },
    });
  }

  /**
   * Finds which of the settings the server knows, and that it heeds them.
   * @throws ReachflowError `CLICKHOUSE_SETTINGS` naming one that a profile or constraint forces to another value;
   *   ClickHouseError when the server refuses the attempt.
   */
  async checkSettings(): Promise<void> {
    const query = 'SELECT name, value FROM system.settings WHERE name IN {names: Array(String)}';
    const query_params = { names: Object.keys(INSERT_SETTINGS) };
    const known = await this.rows<{ name: string }>(query, query_params);
    const names = new Set(known.map(({ name }) => name));
    const missing = REQUIRED.find((name) => !names.has(name));
    if (missing !== undefined) throw settingsError(missing, 'does not exist in this version');
    const settings = Object.fromEntries(
      Object.entries(INSERT_SETTINGS).filter(([name]) => names.has(name)),
    );
    const effective = await this.rows<{ name: string; value: string }>(
      query,
      query_params,
      settings,
    );
    const forced = effective.find(({ name, value }) => value !== settings[name]);
    if (forced !== undefined) throw settingsError(forced.name, `is forced to ${forced.value}`);
    this.#insertSettings = settings;
  }

  /**
   * Runs a statement.
   * @param options.queryId names it among the server's processes. @param options.settings of the statement.
   * @throws ClickHouseError, or what the connection threw.
   */
  async command(
    query: string,
    options: {
      readonly queryId?: string;
      readonly settings?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<void> {
    const { queryId, settings = {} } = options;
    await this.#client.command({
      query,
      clickhouse_settings: settings,
      ...(queryId === undefined ? {} : { query_id: queryId }),
    });
  }

  /** The rows that a query answers with. @throws as `command`. */
  async rows<T>(
    query: string,
    query_params: Readonly<Record<string, unknown>>,
    clickhouse_settings: Readonly<Record<string, string>> = {},
  ): Promise<T[]> {
    const result = await this.#client.query({
      query,
      query_params,
      clickhouse_settings,
      format: 'JSONEachRow',
    });
    return result.json<T>();
  }

  /** Resolves when the rows are stored, or were already. @throws as `command`. */
  async insert({ table, header, rows, token }: Insert): Promise<void> {
    const { stream } = await this.#client.exec({
      query: `INSERT INTO ${table} FORMAT RowBinaryWithNamesAndTypes`,
      values: Readable.from([header, rows], { objectMode: false }),
      clickhouse_settings: { ...this.#insertSettings, insert_deduplication_token: token },
    });
    // Nothing is in it, but the connection is free again only behind its end.
    for await (const _ of stream);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

function settingsError(name: string, why: string): ReachflowError {
  return new ReachflowError(
    `ClickHouse cannot be written exactly once: the setting ${name} ${why}`,
    {
      code: 'CLICKHOUSE_SETTINGS',
      domain: 'user',
      hint: `Let the user of clickhouse.username set ${name} to ${INSERT_SETTINGS[name]}: drop its constraint from the profile.`,
    },
  );
}
