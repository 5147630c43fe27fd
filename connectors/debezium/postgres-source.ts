import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { errorCode, ReachflowError } from '../../runtime/errors.ts';
import type { CaptureConfig } from './config.ts';
import type { CaptureNames } from './names.ts';
import { type CaptureRequirements, postgresProblems, readFacts } from './postgres-check.ts';
import { physicalTables } from './routes.ts';
import {
  type CapturePosition,
  type CaptureSource,
  noSignalTable,
  refuseProblems,
  signalTableSql,
  slotLost,
  sourceFailure,
} from './source.ts';

const RELEASE_POLL_MS = 250;
/** SQLSTATE: undefined_table. */
const NO_TABLE = '42P01';
/** SQLSTATE: insufficient_privilege, and invalid_schema_name. */
const MAY_NOT = new Set(['42501', '3F000']);

const POSITION = `
  SELECT active AS "isActive", coalesce(wal_status = 'lost', false) AS "isLost",
         (restart_lsn - '0/0')::text AS "restart", (confirmed_flush_lsn - '0/0')::text AS "confirmed",
         (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::text
           AS "current"
    FROM pg_replication_slots WHERE slot_name = $1`;

/** Password, role, database or permission: wrong until somebody changes it (SQLSTATE classes 28, 3D and 42). */
function isRefusal(error: unknown): boolean {
  return /^(28|3D|42)/.test(errorCode(error) ?? '');
}

/**
 * Runs `work` on a connection of its own.
 * @throws ReachflowError `CDC_SOURCE_REFUSED` or `CDC_SOURCE_UNAVAILABLE` for what the database answers.
 */
async function withPostgres<T>(
  databaseUrl: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
    application_name: 'reachflow-cdc-check',
  });
  // A connection that breaks between queries is reported by the next one.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw sourceFailure(
      error,
      isRefusal(error),
      'user, password, database and rights of the source URL',
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Makes the signalling table where it is missing; who may not leaves that to the check. */
async function ensureSignalTable(client: pg.Client, table: string): Promise<void> {
  const { rows } = await client.query<{ found: string | null }>('SELECT to_regclass($1) AS found', [
    table,
  ]);
  if (rows[0]?.found !== null) return;
  try {
    await client.query(signalTableSql(table));
  } catch (error) {
    if (!MAY_NOT.has(errorCode(error) ?? '')) throw error;
  }
}

/** Bytes of log as a number: a petabyte is far below 2^53. */
function bytes(from: string | null, to: string | null): number | undefined {
  return from === null || to === null ? undefined : Math.max(0, Number(BigInt(to) - BigInt(from)));
}

interface PositionRow {
  readonly isActive: boolean;
  readonly isLost: boolean;
  readonly restart: string | null;
  readonly confirmed: string | null;
  readonly current: string | null;
}

async function positionOf(client: pg.Client, slot: string): Promise<CapturePosition | undefined> {
  const { rows } = await client.query<PositionRow>(POSITION, [slot]);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { isActive, isLost, restart, confirmed, current } = row;
  return {
    slot,
    isActive,
    isLost,
    lagBytes: bytes(confirmed, current),
    retainedBytes: bytes(restart, current),
    restartLsn: restart === null ? undefined : BigInt(restart),
    confirmedFlushLsn: confirmed === null ? undefined : BigInt(confirmed),
  };
}

/** Drops the slot, waiting for the walsender of a task that has just ended to let go of it. */
async function dropSlot(client: pg.Client, names: CaptureNames, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    await client.query(
      'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
      [names.slot],
    );
    const found = 'SELECT 1 FROM pg_replication_slots WHERE slot_name = $1';
    if ((await client.query(found, [names.slot])).rowCount === 0) break;
    if (Date.now() >= deadline) {
      throw new ReachflowError(
        `the replication slot ${names.slot} was not released within ${timeoutMs} ms`,
        {
          code: 'CDC_TIMEOUT',
          domain: 'external',
          retry: 'backoff',
          hint: 'SELECT active_pid FROM pg_replication_slots says who holds it.',
        },
      );
    }
    await delay(RELEASE_POLL_MS);
  }
}

/** Capture from Postgres by logical replication (pgoutput). Does not connect until its first call. */
export function postgresSource(
  config: CaptureConfig,
  databaseUrl: string,
  names: CaptureNames,
): CaptureSource {
  const { signalTable } = names;
  const required: CaptureRequirements = {
    tables: physicalTables(config),
    slot: names.slot,
    publication: names.publication,
    publicationMode: config.publicationMode,
    signalTable,
  };
  return {
    async check(remembered) {
      await withPostgres(databaseUrl, async (client) => {
        if (signalTable !== undefined) await ensureSignalTable(client, signalTable);
        const facts = await readFacts(client, required);
        refuseProblems(postgresProblems(facts, required));
        if (facts.slot?.isLost === true) {
          throw slotLost(
            `Postgres has invalidated its slot ${names.slot} (wal_status = lost)`,
            names.connector,
          );
        }
        if (remembered.length > 0 && facts.slot === null) {
          throw slotLost(`its slot ${names.slot} does not exist any more`, names.connector);
        }
      });
    },
    async signal(id, type, data) {
      if (signalTable === undefined) throw noSignalTable(undefined);
      await withPostgres(databaseUrl, async (client) => {
        try {
          const insert = `INSERT INTO ${signalTable} (id, type, data) VALUES ($1, $2, $3)`;
          await client.query(insert, [id, type, data]);
        } catch (error) {
          if (errorCode(error) === NO_TABLE) throw noSignalTable(signalTable);
          throw error;
        }
      });
    },
    position: () => withPostgres(databaseUrl, (client) => positionOf(client, names.slot)),
    async release(timeoutMs) {
      await withPostgres(databaseUrl, async (client) => {
        await dropSlot(client, names, timeoutMs);
        // One that its owner made is its owner's to drop.
        if (config.publicationMode === 'disabled') return;
        await client.query(`DROP PUBLICATION IF EXISTS "${names.publication}"`);
      });
    },
  };
}
