import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Random } from '../../demo/input/random.ts';
import { ReachflowError } from '../../runtime/errors.ts';

/** How large the ledger is: pgbench's proportions at scale 1 are 100,000 : 10 : 1. */
export interface LedgerSize {
  readonly accounts: number;
  readonly tellers: number;
  readonly branches: number;
}

export interface LedgerLoadOptions {
  /** Of the database that is captured. */
  readonly url: string;
  readonly random: Random;
  readonly size: LedgerSize;
  /** Transactions per second. */
  readonly rate: number;
}

export const ledgerTables = ['accounts', 'tellers', 'branches', 'history'].map(
  (name) => `public.pgbench_${name}`,
);

const CLIENTS = 4;
const RECONNECT_MS = 200;
const CONNECT_TIMEOUT_MS = 3_000;
const QUERY_TIMEOUT_MS = 10_000;
const MAX_DELTA = 5_000;

/** pgbench's tables. The history gets a key: what has none cannot be told apart from its repetition. */
const TABLES = `
  CREATE TABLE IF NOT EXISTS pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
  CREATE TABLE IF NOT EXISTS pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
  CREATE TABLE IF NOT EXISTS pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
  CREATE TABLE IF NOT EXISTS pgbench_history
    (id bigserial PRIMARY KEY, tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  ALTER TABLE pgbench_branches REPLICA IDENTITY FULL;
  ALTER TABLE pgbench_tellers REPLICA IDENTITY FULL;
  ALTER TABLE pgbench_accounts REPLICA IDENTITY FULL;
  ALTER TABLE pgbench_history REPLICA IDENTITY FULL;`;

/**
 * pgbench's TPC-B-like transaction (documentation of pgbench, "What is the 'Transaction' Actually Performed"), over
 * connections that come back when the server does. Its outcome is what the tables say: a commit whose answer was lost
 * may have happened.
 */
export class LedgerLoad {
  readonly #options: LedgerLoadOptions;
  /** Transactions whose commit was answered. */
  committed = 0;
  /** Transactions that broke off. */
  broken = 0;

  constructor(options: LedgerLoadOptions) {
    this.#options = options;
  }

  /** Creates and fills the tables. @throws ReachflowError `SOURCE_UNAVAILABLE`. */
  async prepare(): Promise<void> {
    const { branches, tellers, accounts } = this.#options.size;
    const client = await this.#connect().catch((error: unknown) => {
      throw new ReachflowError('the ledger cannot be made: Postgres does not answer', {
        code: 'SOURCE_UNAVAILABLE',
        domain: 'external',
        cause: error,
      });
    });
    try {
      await client.query(TABLES);
      const fill = (table: string, count: number, branch: string) =>
        client.query(
          `INSERT INTO pgbench_${table} SELECT n, ${branch} 0, '' FROM generate_series(1, ${count}) AS n
           ON CONFLICT DO NOTHING`,
        );
      await fill('branches', branches, '');
      await fill('tellers', tellers, `1 + (n - 1) % ${branches},`);
      await fill('accounts', accounts, `1 + (n - 1) % ${branches},`);
    } finally {
      await client.end();
    }
  }

  /** Runs transactions until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, () => this.#runClient(signal)));
  }

  async #runClient(signal: AbortSignal): Promise<void> {
    const pauseMs = (1_000 * CLIENTS) / this.#options.rate;
    let client: pg.Client | undefined;
    let due = performance.now();
    while (!signal.aborted) {
      try {
        client ??= await this.#connect();
        await this.#transaction(client);
        this.committed += 1;
      } catch {
        if (client !== undefined) this.broken += 1;
        await client?.end().catch(() => undefined);
        client = undefined;
        await delay(RECONNECT_MS, undefined, { signal }).catch(() => undefined);
      }
      // What could not run while the server was away is not made up for: the rate is a limit.
      due = Math.max(due + pauseMs, performance.now() - pauseMs);
      await delay(Math.max(0, due - performance.now()), undefined, { signal }).catch(
        () => undefined,
      );
    }
    await client?.end().catch(() => undefined);
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      application_name: 'reachflow-prove',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
    });
    // A lost connection fails the next statement.
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async #transaction(client: pg.Client): Promise<void> {
    const { random, size } = this.#options;
    const aid = 1 + random.int(size.accounts);
    const tid = 1 + random.int(size.tellers);
    const bid = 1 + random.int(size.branches);
    const delta = random.int(2 * MAX_DELTA + 1) - MAX_DELTA;
    await client.query('BEGIN');
    await client.query('UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2', [
      delta,
      aid,
    ]);
    await client.query('SELECT abalance FROM pgbench_accounts WHERE aid = $1', [aid]);
    await client.query('UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2', [
      delta,
      tid,
    ]);
    await client.query('UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2', [
      delta,
      bid,
    ]);
    await client.query(
      'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)',
      [tid, bid, aid, delta],
    );
    await client.query('COMMIT');
  }
}
