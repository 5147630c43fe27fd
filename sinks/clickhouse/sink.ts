import { createHash } from 'node:crypto';
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import {
  DELIVERED,
  type DeliveryMode,
  type RecordResult,
  type Sink,
  type SinkBatch,
  type SinkLimits,
} from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { chunk } from '../chunk.ts';
import type { SinkDeps } from '../deps.ts';
import { writeEncoded } from '../encode.ts';
import { writeIsolating } from '../isolate.ts';
import { classifyOpen, classifyWrite } from './classify.ts';
import type { ClickhouseConfig } from './config.ts';
import { type EncodedRow, encoders } from './encode.ts';
import { createTableSql, qualified, type Table, tableDifferences } from './tables.ts';

/** Small enough to be one block in the server, which writes an insert of one block all or nothing. */
const MAX_INSERT_SIZE = 32 * 1_048_576;

/** What an insert is of: names it in the deduplication token. */
interface Source {
  readonly table: Table;
  readonly topic: string;
  readonly partition: number;
}

/**
 * Events, contacts and counts in ReplacingMergeTree tables. A repeated batch is dropped by its token while the
 * server remembers it; later it adds rows that merges and FINAL remove.
 */
class ClickhouseSink implements Sink {
  readonly name = 'clickhouse';
  readonly mode: DeliveryMode = 'idempotent';
  readonly topics = [...encoders.keys()];
  readonly limits: SinkLimits;
  readonly writers: number;
  readonly #batchSize: number;
  readonly #client: ClickHouseClient;
  readonly #database: string;

  constructor(config: ClickhouseConfig) {
    this.#batchSize = config.batchSize;
    this.limits = { records: config.batchSize, bytes: MAX_INSERT_SIZE, lingerMs: 0 };
    this.writers = 4;
    this.#database = config.database;
    this.#client = createClient({
      url: config.url,
      username: config.username,
      password: config.password,
      application: 'reachflow-sink',
      request_timeout: config.requestTimeoutMs,
      max_open_connections: config.maxConnections,
      // Rows are encoded already, once, however often a batch is halved.
      json: { stringify: (value) => (isEncoded(value) ? value.json : JSON.stringify(value)) },
      // Its logger writes to the console; what it knows is in the errors it throws.
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: {
        // On by default since 26.x; batches that are batches already would only wait for company.
        async_insert: 0,
        // The status line then tells of errors that happen after the first bytes.
        wait_end_of_query: 1,
        // A null where none belongs is an error, not a default.
        input_format_null_as_default: 0,
        // Old events of many months in one batch are slow, not wrong.
        max_partitions_per_insert_block: '0',
      },
    });
  }

  async open(): Promise<void> {
    try {
      const database = `\`${this.#database}\``;
      await this.#client.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` });
      for (const { table } of encoders.values()) {
        await this.#client.command({ query: createTableSql(this.#database, table) });
        await this.#check(table);
      }
    } catch (error) {
      throw classifyOpen(error);
    }
  }

  async write({ topic, partition, records }: SinkBatch): Promise<readonly RecordResult[]> {
    const encoder = encoders.get(topic);
    if (encoder === undefined) throw new Error(`the sink clickhouse does not write ${topic}`);
    const source = { table: encoder.table, topic, partition };
    return writeEncoded(records, encoder.encode, (rows) => {
      const groups = chunk(rows, this.#batchSize, MAX_INSERT_SIZE, (row) => row.json.length);
      return writeIsolating(groups, (group) => this.#insert(source, group));
    });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #insert(source: Source, rows: readonly EncodedRow[]): Promise<RecordResult> {
    const [first, ...columns] = source.table.columns.map((column) => column.name);
    if (first === undefined) throw new Error(`table ${source.table.name} has no columns`);
    try {
      await this.#client.insert({
        table: qualified(this.#database, source.table.name),
        columns: [first, ...columns],
        values: rows,
        format: 'JSONCompactEachRow',
        clickhouse_settings: { insert_deduplication_token: deduplicationToken(source, rows) },
      });
      return DELIVERED;
    } catch (error) {
      return classifyWrite(error);
    }
  }

  /** @throws ReachflowError `CLICKHOUSE_TABLE_MISMATCH` when the table cannot keep what the sink promises. */
  async #check(table: Table): Promise<void> {
    const query_params = { database: this.#database, table: table.name };
    const tables = await this.#rows<{ engine: string; engine_full: string; sorting_key: string }>(
      'SELECT engine, engine_full, sorting_key FROM system.tables WHERE database = {database:String} AND name = {table:String}',
      query_params,
    );
    const columns = await this.#rows<{ name: string; type: string }>(
      'SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}',
      query_params,
    );
    const differences = tableDifferences(table, {
      engine: tables[0]?.engine ?? 'missing',
      engineFull: tables[0]?.engine_full ?? '',
      sortingKey: tables[0]?.sorting_key ?? '',
      columns: new Map(columns.map(({ name, type }) => [name, type])),
    });
    if (differences.length === 0) return;
    throw new ReachflowError(
      `table ${this.#database}.${table.name} is not what the sink writes: ${differences.join('; ')}`,
      {
        code: 'CLICKHOUSE_TABLE_MISMATCH',
        domain: 'user',
        hint: 'Alter the table, or point clickhouse.database at another database.',
      },
    );
  }

  async #rows<T>(query: string, query_params: Record<string, string>): Promise<T[]> {
    const result = await this.#client.query({ query, query_params, format: 'JSONEachRow' });
    return result.json<T>();
  }
}

function isEncoded(value: unknown): value is EncodedRow {
  return typeof value === 'object' && value !== null && 'json' in value && 'offset' in value;
}

/**
 * Names an insert by its range and its content. By the range alone, a batch that holds one record more than
 * before (the sender's fix, a newer encoder, a topic made anew) would be dropped as a repeat, and lost.
 */
export function deduplicationToken(
  source: Pick<Source, 'topic' | 'partition'>,
  rows: readonly EncodedRow[],
): string {
  const range = `${rows[0]?.offset}-${rows.at(-1)?.offset}`;
  const hash = createHash('sha1');
  for (const { json } of rows) hash.update(json);
  return `${source.topic}-${source.partition}-${range}-${hash.digest('base64url')}`;
}

/** The sink `clickhouse`. Connects on `open`. */
export function createClickhouseSink(config: ClickhouseConfig, _deps: SinkDeps): Sink {
  return new ClickhouseSink(config);
}
