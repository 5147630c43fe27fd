import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Connection, createConnection } from 'mysql2/promise';
import { stackConfigSchema } from '../../compose/config.ts';

const run = promisify(execFile);

/** Debian's packages of a server without its service, and what that needs beyond a small installation. */
const PACKAGES = ['mariadb-server-core', 'libaio1', 'liburing2'];
const START_MS = 60_000;
const STOP_MS = 10_000;
export const MARIADB_USER = 'cdc';
export const MARIADB_PASSWORD = 'p@ss/word';

interface Installation {
  readonly server: string;
  /** Messages, character sets and the SQL of system tables. */
  readonly share: string;
  readonly libraries: string | undefined;
}

/** A MariaDB server of one test. */
export interface MariaDb {
  /** `mysql://` with a user who may do what Debezium's documentation asks for, and no more. */
  readonly url: string;
  /** As root. */
  readonly admin: Connection;
  /** Ends it, and removes its data. */
  remove(): Promise<void>;
}

function installed(root: string, libraries?: string): Installation | undefined {
  const server = join(root, 'usr/sbin/mariadbd');
  const share = join(root, 'usr/share/mysql');
  return existsSync(server) && existsSync(share) ? { server, share, libraries } : undefined;
}

/**
 * The installed server; else Debian's packages, unpacked once below the user's cache. Nothing is installed.
 * @returns a reason where it cannot be had, for people.
 */
export async function findMariaDb(): Promise<Installation | { readonly missing: string }> {
  const { cacheDir } = stackConfigSchema.parse({});
  const home = join(process.env['REACHFLOW_STACK_CACHE_DIR'] ?? cacheDir, 'test', 'mariadb');
  const architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const libraries = join(home, `usr/lib/${architecture}-linux-gnu`);
  const found = installed('/') ?? installed(home, libraries);
  if (found !== undefined) return found;
  const making = `${home}.making-${process.pid}`;
  try {
    await mkdir(making, { recursive: true });
    await run('apt-get', ['download', ...PACKAGES], { cwd: making, timeout: 120_000 });
    const { stdout } = await run('find', [making, '-name', '*.deb']);
    for (const file of stdout.trim().split('\n')) await run('dpkg-deb', ['-x', file, making]);
    await rm(home, { recursive: true, force: true });
    await rename(making, home);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return { missing: `MariaDB is not installed, and apt-get could not fetch it: ${why}` };
  }
  return installed(home, libraries) ?? { missing: `${PACKAGES.join(', ')} have no mariadbd` };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** System tables, and a root without a password on this host: what mariadb-install-db would make. */
async function bootstrapSql(share: string): Promise<string> {
  const files = [
    'mysql_system_tables.sql',
    'mysql_performance_tables.sql',
    'mysql_system_tables_data.sql',
  ];
  const parts = await Promise.all(files.map((name) => readFile(join(share, name), 'utf8')));
  const variables =
    "SET @auth_root_socket=NULL, @skip_auth_anonymous=1, @current_hostname='localhost';";
  return `CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n${variables}\n${parts.join('\n')}\n`;
}

async function bootstrap(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  sql: string,
) {
  const child = spawn(file, [...args, '--bootstrap'], { env, stdio: ['pipe', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = `${log}${chunk.toString()}`.slice(-4_000);
  });
  child.stdin.end(sql);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`mariadbd --bootstrap ended with ${code}: ${log}`);
}

async function connected(port: number): Promise<Connection> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      return await createConnection({
        host: '127.0.0.1',
        port,
        user: 'root',
        multipleStatements: true,
      });
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Starts a server that writes a binlog as change data capture needs it. @param found of `findMariaDb`. */
export async function startMariaDb(found: Installation): Promise<MariaDb> {
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-mariadb-'));
  const port = await freePort();
  const data = join(dir, 'data');
  await mkdir(data);
  const { libraries } = found;
  const env = {
    ...process.env,
    ...(libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries }),
  };
  const common = [
    '--no-defaults',
    `--datadir=${data}`,
    `--lc-messages-dir=${found.share}`,
    `--character-sets-dir=${join(found.share, 'charsets')}`,
    // As root, as in a container, it runs as whoever starts it.
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    ...[
      '--innodb-buffer-pool-size=32M',
      '--innodb-log-file-size=16M',
      '--innodb-flush-log-at-trx-commit=2',
    ],
  ];
  await bootstrap(found.server, common, env, await bootstrapSql(found.share));
  const args = [
    ...common,
    ...['--bind-address=127.0.0.1', `--port=${port}`, `--socket=${join(dir, 'socket')}`],
    ...['--server-id=1', '--log-bin=binlog', '--binlog-format=ROW', '--binlog-row-image=FULL'],
    ...['--gtid-strict-mode=ON', '--plugin-maturity=unknown', '--skip-name-resolve'],
  ];
  const log = createWriteStream(join(dir, 'log'));
  const server = spawn(found.server, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: dirname(data),
  });
  server.stdout.pipe(log);
  server.stderr.pipe(log);
  const exited = once(server, 'exit');
  const atExit = () => server.kill('SIGKILL');
  process.once('exit', atExit);
  const admin = await connected(port);
  await admin.query(`CREATE USER ${MARIADB_USER}@'%' IDENTIFIED BY '${MARIADB_PASSWORD}'`);
  const account = `${MARIADB_USER}:${encodeURIComponent(MARIADB_PASSWORD)}`;
  return {
    url: `mysql://${account}@127.0.0.1:${port}`,
    admin,
    async remove() {
      await admin.end().catch(() => undefined);
      server.kill('SIGTERM');
      const late = setTimeout(() => server.kill('SIGKILL'), STOP_MS);
      await exited;
      clearTimeout(late);
      process.off('exit', atExit);
      log.end();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
