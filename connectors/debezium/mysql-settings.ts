import { crc32 } from 'node:zlib';
import { ReachflowError } from '../../runtime/errors.ts';
import type { CaptureConfig } from './config.ts';
import { type CaptureNames, schemaOf } from './names.ts';
import { physicalTables } from './routes.ts';

/** A MySQL or MariaDB server as a URL names it. */
export interface MysqlAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** The parts of a `mysql://` or `mariadb://` URL. @throws ReachflowError `CDC_URL_INVALID`. */
export function mysqlAddress(databaseUrl: string | undefined): MysqlAddress {
  const url = URL.canParse(databaseUrl ?? '') ? new URL(databaseUrl ?? '') : undefined;
  if (url === undefined || !/^(mysql|mariadb):$/.test(url.protocol) || url.hostname === '') {
    throw new ReachflowError('the source database is not given as a mysql:// URL', {
      code: 'CDC_URL_INVALID',
      domain: 'user',
      hint: 'Set databaseUrl to mysql://user:password@host:port; escape special characters with %.',
    });
  }
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 3_306 : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
}

/** Ids made from names are from here on, where people put none of their servers. */
const FIRST_MADE_SERVER_ID = 1_000_000_000;

/** The id as which a connector reads the binlog: the configured one, else one made from its name. */
export function serverIdOf({ serverId }: CaptureConfig, { connector }: CaptureNames): number {
  return serverId ?? FIRST_MADE_SERVER_ID + (crc32(connector) % FIRST_MADE_SERVER_ID);
}

/** Schemas (databases) that the captured tables are in; a pattern's is what stands before its dot. */
export function capturedDatabases(config: CaptureConfig): string[] {
  const names = physicalTables(config).map((pattern) => schemaOf(pattern).replaceAll('\\', ''));
  return [...new Set(names)];
}

/**
 * What Debezium's MySQL and MariaDB connectors need beside what all have.
 * @throws ReachflowError `CDC_URL_INVALID`.
 */
export function mysqlSettings(
  config: CaptureConfig,
  env: { readonly brokers: readonly string[] },
  names: CaptureNames,
): Record<string, string> {
  const address = mysqlAddress(config.workerDatabaseUrl ?? config.databaseUrl);
  const kind = config.database === 'mysql' ? 'mysql.MySql' : 'mariadb.MariaDb';
  return {
    'connector.class': `io.debezium.connector.${kind}Connector`,
    'database.hostname': address.host,
    'database.port': String(address.port),
    'database.user': address.user,
    'database.password': address.password,
    'database.server.id': String(serverIdOf(config, names)),
    'database.include.list': capturedDatabases(config).join(','),
    'table.include.list': [
      ...physicalTables(config),
      ...(names.signalTable === undefined ? [] : [names.signalTable.replaceAll('.', '\\.')]),
    ].join(','),
    // Statements of other tables are of no use to us, and the history is read whole at each start.
    'schema.history.internal.store.only.captured.tables.ddl': 'true',
    'schema.history.internal.kafka.topic': `${names.topicPrefix}.schema-history`,
    'schema.history.internal.kafka.bootstrap.servers': (config.workerBrokers ?? env.brokers).join(
      ',',
    ),
    'include.schema.changes': 'false',
    'bigint.unsigned.handling.mode': 'long',
    // `timestamp` is ISO 8601 text in UTC in every mode; this one is for the types without a zone, as from Postgres.
    'time.precision.mode': 'microseconds',
    ...(config.heartbeatIntervalMs === 0
      ? {}
      : { 'heartbeat.interval.ms': String(config.heartbeatIntervalMs) }),
  };
}
