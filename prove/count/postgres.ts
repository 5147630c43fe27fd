import pg from 'pg';
import type { BalanceRow, EntryRow, Ledger, StoreFacts } from './facts.ts';

interface Entry {
  id: string;
  account: string;
  teller: string;
  branch: string;
  delta: number;
}

function ledgerOf(
  balances: Readonly<Record<keyof Ledger['balances'], readonly { id: string; balance: number }[]>>,
  entries: readonly Entry[],
): Ledger {
  const byId = (rows: readonly { id: string; balance: number }[]) =>
    new Map<string, BalanceRow>(rows.map(({ id, balance }) => [id, { balance, copies: 1 }]));
  return {
    balances: {
      accounts: byId(balances.accounts),
      tellers: byId(balances.tellers),
      branches: byId(balances.branches),
    },
    entries: new Map<string, EntryRow>(
      entries.map(({ id, ...entry }) => [id, { ...entry, copies: 1 }]),
    ),
  };
}

async function using<T>(url: string, read: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'reachflow-prove-reader',
    query_timeout: 60_000,
  });
  // A lost connection fails the next statement.
  client.on('error', () => undefined);
  await client.connect();
  try {
    // One snapshot for all of it.
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    return await read(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function rows<R extends pg.QueryResultRow>(client: pg.Client, sql: string): Promise<R[]> {
  return (await client.query<R>(sql)).rows;
}

/** The truth: pgbench's own tables. */
export function readSource(url: string): Promise<Ledger> {
  return using(url, async (client) => {
    const balances = (table: string, id: string, balance: string) =>
      rows<{ id: string; balance: number }>(
        client,
        `SELECT ${id}::text AS id, ${balance} AS balance FROM pgbench_${table}`,
      );
    return ledgerOf(
      {
        accounts: await balances('accounts', 'aid', 'abalance'),
        tellers: await balances('tellers', 'tid', 'tbalance'),
        branches: await balances('branches', 'bid', 'bbalance'),
      },
      await rows<Entry>(
        client,
        `SELECT id::text, aid::text AS account, tid::text AS teller, bid::text AS branch, delta
         FROM pgbench_history`,
      ),
    );
  });
}

/** The sink's tables. */
export function readPostgres(url: string): Promise<StoreFacts> {
  return using(url, async (client) => {
    const balances = (table: string) =>
      rows<{ id: string; balance: number }>(
        client,
        `SELECT id, balance::float8 AS balance FROM reachflow.ledger_${table}`,
      );
    const ledger = ledgerOf(
      {
        accounts: await balances('accounts'),
        tellers: await balances('tellers'),
        branches: await balances('branches'),
      },
      await rows<Entry>(
        client,
        `SELECT id, account_id AS account, teller_id AS teller, branch_id AS branch, delta::float8 AS delta
         FROM reachflow.ledger_entries`,
      ),
    );
    return { store: 'postgres', ledger, events: undefined };
  });
}
