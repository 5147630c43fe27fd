import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { z } from 'zod';
import type { StackEndpoints } from '../../compose/endpoints.ts';
import type { BalanceRow, EntryRow, StoreFacts } from './facts.ts';

const balanceRow = z.object({ id: z.string(), balance: z.coerce.number() });
const entryRow = z.object({
  id: z.string(),
  account: z.string(),
  teller: z.string(),
  branch: z.string(),
  delta: z.coerce.number(),
  copies: z.coerce.number(),
});
const eventRow = z.object({ id: z.string(), copies: z.coerce.number() });

/** Inserts that a log table tells repeats of: more than a run makes between a crash and its repetition. */
const DEDUPLICATION_WINDOW = 10_000;

/**
 * The sink's tables, and logs beside them that materialized views fill: a row for each row inserted, ever. Where the
 * sink's tables merge repeats away, these keep them, as an analyst's roll-up would count them twice.
 */
export class ClickhouseCounter {
  readonly #client: ClickHouseClient;
  readonly #database: string;

  constructor({ url, username, password, database }: StackEndpoints['clickhouse']) {
    this.#client = createClient({
      url,
      username,
      password,
      application: 'reachflow-prove',
      request_timeout: 60_000,
      log: { level: ClickHouseLogLevel.OFF },
    });
    this.#database = `\`${database}\``;
  }

  /** Makes logs and views. Call when the sink has made its tables, before the load. */
  async prepare(): Promise<void> {
    await this.#log('ledger_entries', 'id');
    await this.#log('events', 'event_id');
  }

  async #log(table: string, id: string): Promise<void> {
    const db = this.#database;
    await this.#client.command({
      query: `CREATE TABLE IF NOT EXISTS ${db}.prove_${table} (id String) ENGINE = MergeTree ORDER BY id
              SETTINGS non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`,
    });
    await this.#client.command({
      query: `CREATE MATERIALIZED VIEW IF NOT EXISTS ${db}.prove_${table}_view TO ${db}.prove_${table}
              AS SELECT ${id} AS id FROM ${db}.${table}`,
    });
  }

  async read(): Promise<StoreFacts> {
    const db = this.#database;
    const balances = async (table: string) => {
      const query = `SELECT id, balance FROM ${db}.ledger_${table} FINAL WHERE is_deleted = 0`;
      const found = new Map<string, BalanceRow>();
      for (const { id, balance } of await this.#rows(balanceRow, query)) {
        found.set(id, { balance, copies: (found.get(id)?.copies ?? 0) + 1 });
      }
      return found;
    };
    const entries = await this.#rows(
      entryRow,
      `SELECT e.id AS id, account_id AS account, teller_id AS teller, branch_id AS branch, delta, copies
       FROM ${db}.ledger_entries AS e FINAL
       LEFT JOIN (SELECT id, count() AS copies FROM ${db}.prove_ledger_entries GROUP BY id) AS l ON l.id = e.id`,
    );
    const events = await this.#rows(
      eventRow,
      `SELECT id, count() AS copies FROM ${db}.prove_events GROUP BY id`,
    );
    return {
      store: 'clickhouse',
      ledger: {
        balances: {
          accounts: await balances('accounts'),
          tellers: await balances('tellers'),
          branches: await balances('branches'),
        },
        entries: new Map<string, EntryRow>(entries.map(({ id, ...entry }) => [id, entry])),
      },
      events: new Map(events.map(({ id, copies }) => [id, copies])),
    };
  }

  async #rows<T>(schema: z.ZodType<T>, query: string): Promise<T[]> {
    const result = await this.#client.query({ query, format: 'JSONEachRow' });
    return (await result.json()).map((row) => schema.parse(row));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
