import {
  DELIVERED,
  type DeliveryMode,
  type RecordResult,
  type Sink,
  type SinkBatch,
  type SinkLimits,
  type SinkRecord,
} from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import type { SinkDeps } from '../deps.ts';
import { writeIsolating } from '../isolate.ts';
import { invalidRecord } from '../record.ts';
import { classifyOpen, classifyWrite, isTableChanged, isTooLarge } from './classify.ts';
import type { ClickhouseConfig } from './config.ts';
import { compileEncoder, type EncodedBatch, type TableEncoder } from './encode.ts';
import { type FoundTable, planTable } from './evolution.ts';
import { checkDeduplication } from './guard.ts';
import { BUILD_TIMEOUT_MS, ensureRollups } from './rollup-tables.ts';
import { rollups } from './rollups.ts';
import { ClickhouseSession } from './session.ts';
import { clickhouseTables, qualified, type Table } from './tables.ts';
import { batchToken, partToken } from './token.ts';

/** Partitions written at once: parsing and sorting in the server take a core each. */
const WRITERS = 4;

/** As often a server may say that a batch is too large before it is taken to mean the batch, not its load. */
const TOO_LARGE_TIMES = 3;

/** Partitions that have a batch under way, and more. */
const MAX_TOO_LARGE = 1_000;

/** A batch on its way: records from one index to another are attempted together. */
interface Attempt {
  readonly batch: SinkBatch;
  readonly encoded: EncodedBatch;
  readonly encoder: TableEncoder;
  readonly table: Table;
  readonly token: string;
}

/**
 * The topics that ClickHouse keeps, in ReplacingMergeTree tables. One insert per batch, named by its range: the server
 * drops a repeat of it, in the table and in what its views fill, as long as it remembers the name.
 */
class ClickhouseSink implements Sink {
  readonly name = 'clickhouse';
  readonly mode: DeliveryMode = 'planned';
  readonly topics: readonly string[];
  readonly limits: SinkLimits;
  readonly writers: number;
  readonly #config: ClickhouseConfig;
  readonly #session: ClickhouseSession;
  readonly #database: string;
  readonly #tables: ReadonlyMap<string, Table>;
  /** By topic; one that is missing is made by the next write. */
  readonly #encoders = new Map<string, TableEncoder>();
  /** For dry runs before `open`, by topic. */
  readonly #checkers = new Map<string, TableEncoder>();
  /** How often a batch was too large, by token, until it is written. */
  readonly #tooLarge = new Map<string, number>();

  constructor(config: ClickhouseConfig, tables: ReadonlyMap<string, Table>) {
    this.#config = config;
    this.#tables = tables;
    this.topics = [...tables.keys()];
    this.limits = {
      records: config.batchSize,
      bytes: config.batchBytes,
      lingerMs: config.flushMs,
    };
    this.writers = Math.min(WRITERS, config.maxConnections);
    this.#database = config.database;
    this.#session = new ClickhouseSession(config);
  }

  async open(): Promise<void> {
    try {
      await this.#session.checkSettings();
      await this.#session.command(
        `CREATE DATABASE IF NOT EXISTS ${qualified(undefined, this.#database)}`,
      );
      for (const [topic, table] of this.#tables) {
        await this.#evolve(table);
        await this.#sumUp(topic, table);
        await checkDeduplication(this.#session, { database: this.#database, name: table.name });
        await this.#compile(topic, table);
      }
    } catch (error) {
      throw classifyOpen(error);
    }
  }

  async write(batch: SinkBatch): Promise<readonly RecordResult[]> {
    const { topic, records } = batch;
    const table = this.#tables.get(topic);
    if (table === undefined) throw new Error(`the sink clickhouse does not write ${topic}`);
    if (records.length === 0) return [];
    let encoder: TableEncoder;
    try {
      encoder = this.#encoders.get(topic) ?? (await this.#compile(topic, table));
    } catch (error) {
      const result = classifyWrite(error);
      return records.map(() => result);
    }
    const encoded = encoder.encode(records);
    const attempt = { batch, encoded, encoder, table, token: batchToken(batch) };
    const results = await writeIsolating([[...records.keys()]], (indices) =>
      this.#insert(attempt, indices[0] ?? 0, (indices.at(-1) ?? 0) + 1),
    );
    if (results.every(({ status }) => status !== 'retry')) this.#tooLarge.delete(attempt.token);
    if (encoded.errors.size === 0) return results;
    return results.map((result, i) => {
      const error = encoded.errors.get(i);
      return error === undefined ? result : { status: 'rejected', error };
    });
  }

  /** By the table as this sink makes it: one that the server has may be wider. */
  check(record: SinkRecord): ReachflowError | undefined {
    const { topic } = record;
    const table = this.#tables.get(topic);
    if (table === undefined) return invalidRecord(record, 'clickhouse does not write its topic');
    const types = new Map(table.columns.map(({ name, type }) => [name, type]));
    const encoder = this.#encoders.get(topic) ?? this.#checkers.get(topic);
    const checker = encoder ?? compileEncoder(table, types);
    if (encoder === undefined) this.#checkers.set(topic, checker);
    return checker.encode([record]).errors.get(0);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  /** Inserts the records from one index up to another; what `rejected` says of all of them makes two of it. */
  async #insert(attempt: Attempt, from: number, to: number): Promise<RecordResult> {
    const { batch, encoded, encoder, table, token } = attempt;
    const [start, end] = [encoded.ends[from - 1] ?? 0, encoded.ends[to - 1] ?? 0];
    if (start === end) return DELIVERED;
    try {
      await this.#session.insert({
        table: qualified(this.#database, table.name),
        header: encoder.header,
        rows: encoded.bytes.subarray(start, end),
        token: partToken(token, batch, from, to),
      });
      return DELIVERED;
    } catch (error) {
      if (isTableChanged(error)) this.#encoders.delete(batch.topic);
      const result = classifyWrite(error);
      const isHalved = to - from > 1 && result.status === 'retry' && this.#isHalved(token, error);
      return isHalved ? { status: 'rejected', error: result.error } : result;
    }
  }

  /** Is a batch that was refused for its size to be halved now? Load passes; a limit does not. */
  #isHalved(token: string, error: unknown): boolean {
    if (!isTooLarge(error)) return false;
    const times = (this.#tooLarge.get(token) ?? 0) + 1;
    // Those of partitions that went elsewhere are never written here.
    if (this.#tooLarge.size >= MAX_TOO_LARGE) this.#tooLarge.clear();
    this.#tooLarge.set(token, times);
    return times >= TOO_LARGE_TIMES;
  }

  /** Makes the table, or adds what it lacks. @throws ReachflowError `CLICKHOUSE_TABLE_MISMATCH`. */
  async #evolve(table: Table): Promise<void> {
    const name = qualified(this.#database, table.name);
    const { statements, refused } = planTable(name, table, await this.#find(table));
    if (refused.length > 0) {
      throw new ReachflowError(
        `table ${this.#database}.${table.name} is not what the sink writes: ${refused.join('; ')}`,
        {
          code: 'CLICKHOUSE_TABLE_MISMATCH',
          domain: 'user',
          hint: 'Alter the table, or point clickhouse.database at another database.',
        },
      );
    }
    for (const statement of statements) await this.#session.command(statement);
  }

  /** Makes the roll-ups of a table, by a session that waits for as long as that takes. */
  async #sumUp(topic: string, table: Table): Promise<void> {
    const wanted = rollups.filter((rollup) => rollup.topic === topic);
    if (wanted.length === 0) return;
    const session = new ClickhouseSession({ ...this.#config, requestTimeoutMs: BUILD_TIMEOUT_MS });
    try {
      await ensureRollups(session, this.#database, table.name, wanted);
    } finally {
      await session.close();
    }
  }

  async #compile(topic: string, table: Table): Promise<TableEncoder> {
    const found = await this.#find(table);
    const { refused, statements } = planTable(table.name, table, found);
    if (found === undefined || refused.length > 0 || statements.length > 0) {
      throw new ReachflowError(
        `table ${this.#database}.${table.name} has changed: ${[...refused, ...statements].join('; ')}`,
        {
          code: 'CLICKHOUSE_TABLE_MISMATCH',
          domain: 'external',
          retry: 'backoff',
          hint: 'Undo the change, or restart the sink, which makes what is missing.',
        },
      );
    }
    const encoder = compileEncoder(table, found.columns);
    this.#encoders.set(topic, encoder);
    return encoder;
  }

  async #find({ name }: Table): Promise<FoundTable | undefined> {
    const query_params = { database: this.#database, table: name };
    const [table] = await this.#session.rows<{
      engine: string;
      engine_full: string;
      sorting_key: string;
    }>(
      'SELECT engine, engine_full, sorting_key FROM system.tables WHERE database = {database: String} AND name = {table: String}',
      query_params,
    );
    if (table === undefined) return undefined;
    const columns = await this.#session.rows<{ name: string; type: string }>(
      'SELECT name, type FROM system.columns WHERE database = {database: String} AND table = {table: String}',
      query_params,
    );
    return {
      engine: table.engine,
      engineFull: table.engine_full,
      sortingKey: table.sorting_key,
      columns: new Map(columns.map((column) => [column.name, column.type])),
    };
  }
}

/**
 * The sink `clickhouse`. Connects on `open`.
 * @param tables by topic; those of the topics map unless given.
 */
export function createClickhouseSink(
  config: ClickhouseConfig,
  deps: SinkDeps,
  tables: ReadonlyMap<string, Table> = clickhouseTables(deps),
): Sink {
  return new ClickhouseSink(config, tables);
}
