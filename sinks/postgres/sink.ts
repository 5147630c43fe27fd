import pg from 'pg';
import {
  DELIVERED,
  type DeliveryMode,
  type RecordResult,
  type Sink,
  type SinkBatch,
  type SinkLimits,
} from '../../runtime/delivery/sink.ts';
import { chunk } from '../chunk.ts';
import type { SinkDeps } from '../deps.ts';
import { writeEncoded } from '../encode.ts';
import { writeIsolating } from '../isolate.ts';
import { writeNewest } from '../newest.ts';
import { classifyOpen, classifyWrite } from './classify.ts';
import type { PostgresConfig } from './config.ts';
import { type ContactRow, encodeContact, toColumns } from './encode.ts';
import { COLUMNS, ensureSchema, upsertSql } from './schema.ts';

/** The server's limit on one message is 1 GB; this keeps a statement's memory small on both sides. */
const MAX_STATEMENT_SIZE = 16 * 1_048_576;

/** How long the client waits beyond the server's own timeout before it gives a silent connection up, ms. */
const SILENCE_GRACE_MS = 1_000;

/** Contacts in a Postgres table: one conditional upsert per batch, deletes as empty rows. */
class PostgresSink implements Sink {
  readonly name = 'postgres';
  readonly mode: DeliveryMode = 'idempotent';
  readonly topics = ['contact.golden'];
  readonly limits: SinkLimits;
  readonly writers: number;
  readonly #batchSize: number;
  readonly #pool: pg.Pool;
  readonly #schema: string;
  readonly #upsert: string;

  constructor(config: PostgresConfig, deps: SinkDeps) {
    this.#batchSize = config.batchSize;
    this.limits = { records: config.batchSize, bytes: MAX_STATEMENT_SIZE, lingerMs: 0 };
    this.writers = config.maxConnections;
    this.#schema = config.schema;
    this.#upsert = upsertSql(config.schema);
    this.#pool = new pg.Pool({
      connectionString: config.url,
      max: config.maxConnections,
      connectionTimeoutMillis: config.connectTimeoutMs,
      statement_timeout: config.statementTimeoutMs,
      query_timeout: config.statementTimeoutMs + SILENCE_GRACE_MS,
      application_name: 'reachflow-sink',
      keepAlive: true,
    });
    // A connection that breaks fails its query too, or is replaced when idle; but its `error` event needs a
    // listener for as long as it lives, in use (where the pool has none) or not, or it ends the process.
    this.#pool.on('connect', (client) => {
      client.on('error', (error) => deps.logger.warn({ err: error }, 'postgres connection lost'));
    });
    this.#pool.on('error', () => undefined);
  }

  async open(): Promise<void> {
    try {
      await this.#use((client) => ensureSchema(client, this.#schema));
    } catch (error) {
      throw classifyOpen(error);
    }
  }

  async write({ records }: SinkBatch): Promise<readonly RecordResult[]> {
    return writeEncoded(records, encodeContact, (rows) =>
      writeNewest(rows, (newest) => this.#writeRows(newest)),
    );
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #writeRows(rows: readonly ContactRow[]): Promise<readonly RecordResult[]> {
    const groups = chunk(rows, this.#batchSize, MAX_STATEMENT_SIZE, (row) => row.size);
    return writeIsolating(groups, (group) => this.#upsertRows(group));
  }

  async #upsertRows(rows: readonly ContactRow[]): Promise<RecordResult> {
    try {
      await this.#use((client) => client.query(this.#upsert, [...toColumns(rows, COLUMNS.length)]));
      return DELIVERED;
    } catch (error) {
      return classifyWrite(error);
    }
  }

  /** Runs on a pooled connection. A data error leaves the connection good; after any other it is dropped. */
  async #use<T>(run: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let broken = false;
    try {
      return await run(client);
    } catch (error) {
      broken = classifyWrite(error).status === 'retry';
      throw error;
    } finally {
      client.release(broken);
    }
  }
}

/** The sink `postgres`. Connects on `open`. */
export function createPostgresSink(config: PostgresConfig, deps: SinkDeps): Sink {
  return new PostgresSink(config, deps);
}
