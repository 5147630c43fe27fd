import pg from 'pg';
import {
  type Claim,
  DELIVERED,
  type DeliveryMode,
  HELD,
  type OffsetRange,
  type RecordResult,
  type Sink,
  type SinkBatch,
  type SinkLimits,
  type SinkRecord,
} from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { modelsOf, type SinkDeps } from '../deps.ts';
import type { TableModel } from '../fields.ts';
import { invalidRecord } from '../record.ts';
import { ensureTables } from './catalog.ts';
import { classifyOpen, classifyWrite, isOfStore, unavailable } from './classify.ts';
import type { PostgresConfig } from './config.ts';
import { findCulprits } from './culprits.ts';
import { type EncodedRows, type Faults, TopicEncoder } from './encode.ts';
import { positionsOwner, tableOf } from './schema.ts';
import { type PositionStatements, positionStatements, writeStatements } from './statements.ts';

const NAME = 'postgres';

/** The server's limit on one message is 1 GB; this keeps a statement's memory small on both sides. */
const MAX_STATEMENT_BYTES = 16 * 1_048_576;

/** How long the client waits beyond the server's own timeout before it gives a silent connection up, ms. */
const SILENCE_GRACE_MS = 1_000;

/** A statement that each connection prepares once. */
interface Prepared {
  readonly name: string;
  readonly text: string;
}

/** What writes one topic. */
interface TopicWriter {
  readonly encoder: TopicEncoder;
  readonly rows: Prepared;
  readonly rowsAndMove: Prepared;
}

/** One row per key, or per record, in a table per topic; rows and position in one transaction. */
class PostgresSink implements Sink {
  readonly name = NAME;
  readonly mode: DeliveryMode = 'transactional';
  readonly topics: readonly string[];
  readonly limits: SinkLimits;
  readonly writers: number;
  readonly #pool: pg.Pool;
  readonly #schema: string;
  readonly #models: readonly TableModel[];
  readonly #writers: ReadonlyMap<string, TopicWriter>;
  readonly #positions: PositionStatements;
  /** Whose positions: those of a replay are beside the live ones. */
  readonly #owner: string;
  readonly #statement: { readonly maxRows: number; readonly maxBytes: number };

  constructor(config: PostgresConfig, deps: SinkDeps, models: readonly TableModel[]) {
    this.limits = { records: config.batchSize, bytes: MAX_STATEMENT_BYTES, lingerMs: 0 };
    this.writers = config.maxConnections;
    this.topics = models.map(({ topic }) => topic);
    this.#schema = config.schema;
    this.#models = models;
    this.#statement = { maxRows: config.batchSize, maxBytes: MAX_STATEMENT_BYTES };
    this.#positions = positionStatements(config.schema);
    this.#owner = positionsOwner(deps.shadow?.suffix);
    this.#writers = new Map(
      models.map((model, i) => {
        const { rows, rowsAndMove } = writeStatements(model, config.schema);
        const writer: TopicWriter = {
          encoder: new TopicEncoder(model),
          rows: { name: `reachflow_${i}_rows`, text: rows },
          rowsAndMove: { name: `reachflow_${i}_rows_and_move`, text: rowsAndMove },
        };
        return [model.topic, writer] as const;
      }),
    );
    this.#pool = createPool(config, deps);
  }

  async open(): Promise<void> {
    try {
      const tables = this.#models.map(tableOf);
      await this.#use((client) => ensureTables(client, this.#schema, tables));
    } catch (error) {
      throw classifyOpen(error);
    }
  }

  async claim(topic: string, partition: number, topicId?: string): Promise<Claim> {
    const { claim } = this.#positions;
    try {
      const { rows } = await this.#use((client) =>
        client.query<{ epoch: string; next_offset: string | null; topic_id: string | null }>(
          claim,
          [this.#owner, topic, partition, topicId ?? null],
        ),
      );
      const [row] = rows;
      if (row === undefined) throw new Error('an upsert returned no row');
      const position = row.next_offset === null ? undefined : BigInt(row.next_offset);
      return { epoch: BigInt(row.epoch), position, topicId: row.topic_id ?? undefined };
    } catch (error) {
      throw unavailable(error);
    }
  }

  async write(batch: SinkBatch): Promise<readonly RecordResult[]> {
    const { records } = batch;
    const writer = this.#writers.get(batch.topic);
    if (writer === undefined) throw new Error(`${NAME} does not write ${batch.topic}`);
    const faults: Faults = new Map();
    const rows = writer.encoder.select(records, faults);
    const statements = writer.encoder.encode(rows, this.#statement, faults);
    if (faults.size > 0) return records.map((record) => rejectedOrHeld(faults, record));
    try {
      const moved = await this.#use((client) => this.#commit(client, writer, statements, batch));
      if (!moved) throw fenced(batch);
      return new Array<RecordResult>(records.length).fill(DELIVERED);
    } catch (error) {
      if (error instanceof ReachflowError) throw error;
      // A range without records has no result to say it in.
      if (records.length === 0) throw unavailable(error);
      return this.#explain(error, writer, rows, records);
    }
  }

  check(record: SinkRecord): ReachflowError | undefined {
    const encoder = this.#writers.get(record.topic)?.encoder;
    if (encoder === undefined) return invalidRecord(record, `${NAME} does not write its topic`);
    const faults: Faults = new Map();
    encoder.encode(encoder.select([record], faults), this.#statement, faults);
    return faults.get(record);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  /** Writes all, in one transaction. False, and nothing written, when the position is not the batch's. */
  async #commit(
    client: pg.PoolClient,
    writer: TopicWriter,
    statements: readonly EncodedRows[],
    batch: SinkBatch,
  ): Promise<boolean> {
    const [only] = statements;
    const move = batch.range === undefined ? undefined : moveOf(this.#owner, batch, batch.range);
    if (only === undefined) return move === undefined || this.#move(client, move);
    if (statements.length > 1) return this.#commitAll(client, writer, statements, move);
    if (move === undefined) {
      await client.query({ ...writer.rows, values: [...only.parameters] });
      return true;
    }
    const values = [...only.parameters, ...move];
    const { rows } = await client.query<{ moved: number }>({ ...writer.rowsAndMove, values });
    return rows[0]?.moved === 1;
  }

  async #commitAll(
    client: pg.PoolClient,
    writer: TopicWriter,
    statements: readonly EncodedRows[],
    move: readonly unknown[] | undefined,
  ): Promise<boolean> {
    await client.query('BEGIN');
    try {
      const moved = move === undefined || (await this.#move(client, move));
      if (moved) {
        for (const { parameters } of statements) {
          await client.query({ ...writer.rows, values: [...parameters] });
        }
      }
      await client.query(moved ? 'COMMIT' : 'ROLLBACK');
      return moved;
    } catch (error) {
      // After any other error the connection is dropped, which undoes it, too.
      if (!isOfStore(error)) await client.query('ROLLBACK');
      throw error;
    }
  }

  async #move(client: pg.PoolClient, move: readonly unknown[]): Promise<boolean> {
    const { rowCount } = await client.query(this.#positions.move, [...move]);
    return rowCount === 1;
  }

  /** What a failure says of each record. Where rows are at fault, finds out which, and leaves nothing written. */
  async #explain(
    error: unknown,
    writer: TopicWriter,
    rows: readonly SinkRecord[],
    records: readonly SinkRecord[],
  ): Promise<readonly RecordResult[]> {
    const answer = classifyWrite(error);
    const sick = (result: RecordResult) => records.map(() => result);
    if (answer.status === 'retry' && answer.of === 'store') return sick(answer);
    const insert = async (client: pg.PoolClient, group: readonly SinkRecord[]) => {
      for (const { parameters } of writer.encoder.encode(group, this.#statement, new Map())) {
        await client.query({ ...writer.rows, values: [...parameters] });
      }
    };
    try {
      const culprits = await this.#use((client) => findCulprits(client, rows, insert));
      if (culprits.size === 0)
        return sick({ status: 'retry', of: 'store', error: unavailable(error) });
      return records.map((record) => culprits.get(record) ?? HELD);
    } catch (thrown) {
      return sick({ status: 'retry', of: 'store', error: unavailable(thrown) });
    }
  }

  /** Runs on a pooled connection. A data error leaves the connection good; after any other it is dropped. */
  async #use<T>(run: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let broken = false;
    try {
      return await run(client);
    } catch (error) {
      broken = isOfStore(error);
      throw error;
    } finally {
      client.release(broken);
    }
  }
}

function createPool(config: PostgresConfig, { logger }: SinkDeps): pg.Pool {
  const pool = new pg.Pool({
    connectionString: config.url,
    max: config.maxConnections,
    connectionTimeoutMillis: config.connectTimeoutMs,
    statement_timeout: config.statementTimeoutMs,
    query_timeout: config.statementTimeoutMs + SILENCE_GRACE_MS,
    // A process that stops in the middle of a transaction must not keep its position locked.
    idle_in_transaction_session_timeout: config.statementTimeoutMs,
    application_name: 'reachflow-sink',
    keepAlive: true,
  });
  // A connection that breaks fails its query too, or is replaced when idle; but its `error` event needs a
  // listener for as long as it lives, in use (where the pool has none) or not, or it ends the process.
  pool.on('connect', (client) => {
    client.on('error', (error) => logger.warn({ err: error }, 'postgres connection lost'));
  });
  pool.on('error', () => undefined);
  return pool;
}

function rejectedOrHeld(faults: Faults, record: SinkRecord): RecordResult {
  const error = faults.get(record);
  return error === undefined ? HELD : { status: 'rejected', error };
}

/** The parameters of the position's statements. */
function moveOf(
  owner: string,
  { topic, partition }: SinkBatch,
  { epoch, start, end }: OffsetRange,
): unknown[] {
  return [owner, topic, partition, epoch, start, end];
}

function fenced({ topic, partition, range }: SinkBatch): ReachflowError {
  return new ReachflowError(
    `${topic}/${partition} is not at ${range?.start} under epoch ${range?.epoch}: nothing was written`,
    {
      code: 'SINK_FENCED',
      domain: 'internal',
      hint: 'Another process has taken the partition over, or the batch is written already: claim it again.',
    },
  );
}

/**
 * The sink `postgres`. Connects on `open`.
 * @param models the tables to keep; by default those of the topics map, and of the optional pipelines that run.
 */
export function createPostgresSink(
  config: PostgresConfig,
  deps: SinkDeps,
  models: readonly TableModel[] = modelsOf(NAME, deps),
): Sink {
  return new PostgresSink(config, deps, models);
}
