import { ReachflowError } from '../../runtime/errors.ts';
import type { CaptureConfig } from './config.ts';
import type { CaptureNames } from './names.ts';
import { physicalTables } from './routes.ts';

/** Marks the heartbeat's logical messages in the WAL, so that they do not become records. */
export const HEARTBEAT_MESSAGE_PREFIX = 'reachflow-heartbeat';

/** The connection of a `postgres://` URL, as Debezium names its parts. @throws ReachflowError `CDC_URL_INVALID`. */
function connection(databaseUrl: string): Record<string, string> {
  const url = URL.canParse(databaseUrl) ? new URL(databaseUrl) : undefined;
  const database = url === undefined ? '' : decodeURIComponent(url.pathname.slice(1));
  if (url === undefined || !/^postgres(ql)?:$/.test(url.protocol) || database === '') {
    throw new ReachflowError(
      'the source database is not given as a postgres:// URL with a database',
      {
        code: 'CDC_URL_INVALID',
        domain: 'user',
        hint: 'Write postgres://user:password@host:port/database; escape special characters with %.',
      },
    );
  }
  const sslMode = url.searchParams.get('sslmode');
  return {
    'database.hostname': url.hostname.replace(/^\[(.*)\]$/, '$1'),
    'database.port': url.port === '' ? '5432' : url.port,
    'database.user': decodeURIComponent(url.username),
    'database.password': decodeURIComponent(url.password),
    'database.dbname': database,
    ...(sslMode === null ? {} : { 'database.sslmode': sslMode }),
  };
}

function heartbeat(config: CaptureConfig): Record<string, string> {
  if (config.heartbeatIntervalMs === 0) return {};
  return {
    'heartbeat.interval.ms': String(config.heartbeatIntervalMs),
    // Writes to the WAL by itself: when other databases or tables fill it, the slot still moves on.
    'heartbeat.action.query': `SELECT pg_logical_emit_message(false, '${HEARTBEAT_MESSAGE_PREFIX}', '')`,
    'message.prefix.exclude.list': HEARTBEAT_MESSAGE_PREFIX,
  };
}

/** What Debezium's Postgres connector needs beside what all have. @throws ReachflowError `CDC_URL_INVALID`. */
export function postgresSettings(
  config: CaptureConfig,
  env: { readonly databaseUrl: string },
  names: CaptureNames,
): Record<string, string> {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    ...connection(config.workerDatabaseUrl ?? config.databaseUrl ?? env.databaseUrl),
    'plugin.name': 'pgoutput',
    'slot.name': names.slot,
    'publication.name': names.publication,
    'publication.autocreate.mode': config.publicationMode,
    'table.include.list': physicalTables(config).join(','),
    // `timestamptz` is ISO 8601 text in UTC in every mode; this one is for the types without a zone.
    'time.precision.mode': 'microseconds',
    ...heartbeat(config),
  };
}
