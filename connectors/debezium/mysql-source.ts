import { type Connection, createConnection, type RowDataPacket } from 'mysql2/promise';
import { errorCode } from '../../runtime/errors.ts';
import type { CaptureConfig } from './config.ts';
import { type BinlogRequirements, mysqlProblems, readBinlogFacts } from './mysql-check.ts';
import { mysqlAddress, serverIdOf } from './mysql-settings.ts';
import type { CaptureNames } from './names.ts';
import { physicalTables } from './routes.ts';
import {
  type CaptureSource,
  noSignalTable,
  refuseProblems,
  signalTableSql,
  slotLost,
  sourceFailure,
} from './source.ts';

/** Codes by which a server refuses whoever asks, until somebody changes it. */
const REFUSALS: ReadonlySet<string> = new Set([
  'ER_ACCESS_DENIED_ERROR',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_TABLEACCESS_DENIED_ERROR',
  'ER_SPECIFIC_ACCESS_DENIED_ERROR',
  'ER_HOST_NOT_PRIVILEGED',
  'ER_BAD_DB_ERROR',
]);
const MAY_NOT: ReadonlySet<string> = new Set([
  'ER_TABLEACCESS_DENIED_ERROR',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_BAD_DB_ERROR',
]);

/**
 * Runs `work` on a connection of its own.
 * @throws ReachflowError `CDC_SOURCE_REFUSED` or `CDC_SOURCE_UNAVAILABLE` for what the server answers.
 */
async function withMysql<T>(
  databaseUrl: string | undefined,
  work: (client: Connection) => Promise<T>,
): Promise<T> {
  const address = mysqlAddress(databaseUrl);
  let client: Connection | undefined;
  try {
    client = await createConnection({ ...address, connectTimeout: 5_000 });
    return await work(client);
  } catch (error) {
    throw sourceFailure(
      error,
      REFUSALS.has(errorCode(error) ?? ''),
      'user, password and grants of the source URL',
    );
  } finally {
    await client?.end().catch(() => undefined);
  }
}

/** Makes the signalling table where it is missing; who may not leaves that to the check. */
async function ensureSignalTable(client: Connection, table: string): Promise<void> {
  try {
    await client.query(signalTableSql(table));
  } catch (error) {
    if (!MAY_NOT.has(errorCode(error) ?? '')) throw error;
  }
}

/** Is the binlog file that Connect remembers gone? With GTIDs another server may go on from it. */
async function isGone(
  client: Connection,
  remembered: readonly Readonly<Record<string, unknown>>[],
): Promise<string | undefined> {
  const [offset] = remembered;
  const file = offset?.['file'];
  if (typeof file !== 'string' || typeof offset?.['gtids'] === 'string') return undefined;
  const [logs] = await client.query<RowDataPacket[]>('SHOW BINARY LOGS');
  return logs.some((log) => log['Log_name'] === file) ? undefined : file;
}

/** Capture from MySQL or MariaDB by their binlog. Does not connect until its first call. */
export function mysqlSource(
  config: CaptureConfig & { readonly database: 'mysql' | 'mariadb' },
  names: CaptureNames,
): CaptureSource {
  const { signalTable } = names;
  const required: BinlogRequirements = {
    kind: config.database,
    tables: physicalTables(config),
    serverId: serverIdOf(config, names),
    signalTable,
  };
  return {
    async check(remembered) {
      await withMysql(config.databaseUrl, async (client) => {
        if (signalTable !== undefined) await ensureSignalTable(client, signalTable);
        refuseProblems(mysqlProblems(await readBinlogFacts(client, required), required));
        const file = await isGone(client, remembered);
        if (file !== undefined)
          throw slotLost(`its binlog ${file} has been purged`, names.connector);
      });
    },
    async signal(id, type, data) {
      if (signalTable === undefined) throw noSignalTable(undefined);
      await withMysql(config.databaseUrl, async (client) => {
        try {
          const insert = `INSERT INTO ${signalTable} (id, type, data) VALUES (?, ?, ?)`;
          await client.query(insert, [id, type, data]);
        } catch (error) {
          if (errorCode(error) === 'ER_NO_SUCH_TABLE') throw noSignalTable(signalTable);
          throw error;
        }
      });
    },
    // Who reads the binlog leaves no trace on the server.
    position: () => Promise.resolve(undefined),
    release: () => Promise.resolve(),
  };
}
