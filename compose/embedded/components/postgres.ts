import { existsSync } from 'node:fs';
import { chown, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { EmbeddedComponent, StartContext } from '../component.ts';
import { composeDir } from '../layout.ts';
import { postgresDataDir, postgresHome, postgresUser, type SystemUser } from '../postgres/place.ts';
import { runPreparation } from '../preparation.ts';
import { embeddedVersions } from '../versions.ts';

/** Database and role of the application, both the source that Debezium captures and the sink's store. */
export const POSTGRES_DATABASE = 'app';
export const POSTGRES_ROLE = 'app';
export const POSTGRES_PASSWORD = 'app';
/** The superuser, for people who look around. */
export const POSTGRES_SUPERUSER = 'postgres';
const SUPERUSER_PASSWORD = 'postgres';

const sourceSql = join(composeDir, 'sql', 'source.sql');

export const postgresComponent: EmbeddedComponent = {
  name: 'postgres',
  version: embeddedVersions.postgres,
  jvm: false,
  units: [],
  needs: [],
  // Fast shutdown: end sessions, write a checkpoint (SIGTERM would wait for the clients to leave).
  stopSignal: 'SIGINT',
  stopTimeoutMs: 10_000,

  async prepare(context) {
    const user = postgresUser();
    const parent = await postgresDataDir(context.layout.dataDir('postgres'), user);
    if (!existsSync(join(parent, 'cluster'))) await createCluster(context, parent, user);
  },

  async command(context) {
    const user = postgresUser();
    const parent = await postgresDataDir(context.layout.dataDir('postgres'), user);
    const settings = {
      listen_addresses: '127.0.0.1',
      port: context.ports.postgres,
      unix_socket_directories: '',
      wal_level: 'logical',
      max_connections: 200,
      max_replication_slots: 32,
      max_wal_senders: 32,
      // A forgotten slot must not fill the developer's disk.
      max_slot_wal_keep_size: '4GB',
      shared_buffers: '128MB',
      log_line_prefix: '%m [%p] ',
    };
    return {
      file: join(await postgresHome(user), 'bin', 'postgres'),
      args: [
        ...['-D', join(parent, 'cluster')],
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      cwd: parent,
      ...(user === undefined ? {} : { user }),
    };
  },

  async ready(context) {
    await asSuperuser(context, async (client) => {
      await client.query('SELECT 1');
    });
  },

  async setUp(context) {
    await asSuperuser(context, async (client) => {
      const role = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [POSTGRES_ROLE]);
      const action = role.rowCount === 0 ? 'CREATE' : 'ALTER';
      // CREATEDB: tests make databases of their own.
      await client.query(
        `${action} ROLE ${POSTGRES_ROLE} LOGIN REPLICATION CREATEDB PASSWORD '${POSTGRES_PASSWORD}'`,
      );
      const database = 'SELECT 1 FROM pg_database WHERE datname = $1';
      if ((await client.query(database, [POSTGRES_DATABASE])).rowCount === 0) {
        await client.query(`CREATE DATABASE ${POSTGRES_DATABASE} OWNER ${POSTGRES_ROLE}`);
      }
    });
    await applySourceSql(context.endpoints.postgres.url);
  },
};

/** Create the tables that the connectors capture, as the role that owns them. */
export async function applySourceSql(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(await readFile(sourceSql, 'utf8'));
  } finally {
    await client.end();
  }
}

/** Under a temporary name first: an interrupted initdb leaves a directory that Postgres would refuse. */
async function createCluster(
  context: StartContext,
  parent: string,
  user: SystemUser | undefined,
): Promise<void> {
  const making = join(parent, 'cluster.making');
  const passwordFile = join(parent, 'password');
  await rm(making, { recursive: true, force: true });
  await writeFile(passwordFile, SUPERUSER_PASSWORD, { mode: 0o600 });
  if (user !== undefined) await chown(passwordFile, user.uid, user.gid);
  await runPreparation(
    context.layout,
    'postgres',
    'initdb',
    {
      file: join(await postgresHome(user), 'bin', 'initdb'),
      args: [
        ...['-D', making, '-U', POSTGRES_SUPERUSER, `--pwfile=${passwordFile}`],
        ...['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C'],
        // Postgres's own UTF-8 rules: the same order on every machine, whatever locales it has.
        ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      ],
      cwd: parent,
      ...(user === undefined ? {} : { user }),
    },
    context.signal,
  );
  await rm(passwordFile);
  await rename(making, join(parent, 'cluster'));
}

async function asSuperuser(
  { ports }: StartContext,
  use: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: ports.postgres,
    database: 'postgres',
    user: POSTGRES_SUPERUSER,
    password: SUPERUSER_PASSWORD,
    connectionTimeoutMillis: 3_000,
  });
  client.on('error', () => undefined); // A connection lost while idle; each query reports its own failure.
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
