import pg from 'pg';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { RowChange, SourceTable } from './rows.ts';
import { MAX_LIVE, type WorkloadStart } from './workload.ts';

const TABLES = ['companies', 'contacts', 'events'] as const;

/** Rows written so far; a statement counts as many as it touched. */
export interface RowCounts {
  insert: number;
  update: number;
  delete: number;
  /** Rows left in a state that validation has to reject. */
  broken: number;
  transactions: number;
}

/** Applies the workload to the source tables, one transaction after the other over one connection. */
export class PostgresWriter {
  readonly counts: RowCounts = { insert: 0, update: 0, delete: 0, broken: 0, transactions: 0 };
  readonly #client: pg.Client;
  #failure: unknown;

  private constructor(client: pg.Client) {
    this.#client = client;
    // Without a listener a lost connection would end the process instead of the next statement.
    client.on('error', (error) => {
      this.#failure = error;
    });
  }

  /** @param url of the database that holds the source tables. @throws ReachflowError `SOURCE_UNAVAILABLE`. */
  static async open(url: string): Promise<PostgresWriter> {
    const client = new pg.Client({ connectionString: url, application_name: 'reachflow-demo' });
    const writer = new PostgresWriter(client);
    try {
      await client.connect();
    } catch (error) {
      throw unavailable(error);
    }
    return writer;
  }

  /** Creates the source tables where they are missing. @param sql `compose/sql/source.sql`. */
  async ensureTables(sql: string): Promise<void> {
    await this.#client.query(sql);
  }

  /** What the tables hold: the highest id and the newest live ids of each. */
  async start(): Promise<WorkloadStart> {
    const maxId: Record<SourceTable, number> = { companies: 0, contacts: 0, events: 0 };
    const liveIds: Record<SourceTable, number[]> = { companies: [], contacts: [], events: [] };
    for (const table of TABLES) {
      const { rows } = await this.#client.query<{ id: string }>(
        `SELECT id FROM ${table} ORDER BY id DESC LIMIT $1`,
        [MAX_LIVE],
      );
      liveIds[table] = rows.map(({ id }) => Number(id)).reverse();
      maxId[table] = liveIds[table].at(-1) ?? 0;
    }
    return { maxId, liveIds };
  }

  /** Applies the changes in one transaction. @throws ReachflowError `SOURCE_UNAVAILABLE`; nothing is applied then. */
  async apply(changes: readonly RowChange[]): Promise<void> {
    const touched: [RowChange, number][] = [];
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await this.#client.query('BEGIN');
      for (const change of changes) {
        const { rowCount } = await this.#client.query(change.text, [...change.values]);
        touched.push([change, rowCount ?? 0]);
      }
      await this.#client.query('COMMIT');
    } catch (error) {
      await this.#client.query('ROLLBACK').catch(() => undefined);
      throw unavailable(error);
    }
    this.counts.transactions += 1;
    for (const [change, rows] of touched) {
      this.counts[change.op] += rows;
      if (change.broken) this.counts.broken += rows;
    }
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}

function unavailable(cause: unknown): ReachflowError {
  return new ReachflowError(`the source database failed: ${errorMessage(cause)}`, {
    code: 'SOURCE_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: '`reachflow stack status` shows whether Postgres runs.',
    cause,
  });
}
