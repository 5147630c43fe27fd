import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCacheDir } from '../../compose/config.ts';
import { findJdk, findMaven, type Jdk } from '../../compose/embedded/toolchain.ts';
import { ReachflowError } from '../../runtime/errors.ts';

const SCHEMAS = join(import.meta.dirname, '..', '..', 'schemas', 'avro');
const BUILD_TIMEOUT_MS = 900_000;
const TAIL_CHARACTERS = 4_000;

export interface PeerBuild {
  readonly java: string;
  /** Its own jar and those it needs. */
  readonly classPath: string;
}

/** Changes with the peer's sources, those it shares, the schemas and the JDK. */
function buildHash(project: string, jdk: string): string {
  const hash = createHash('sha256').update(jdk);
  const common = join(import.meta.dirname, 'common');
  for (const [root, pattern] of [
    [project, '{pom.xml,src/**/*.java}'],
    [common, 'src/**/*.java'],
    [SCHEMAS, '{webhook-received,event-recorded,tenant-count}.avsc'],
  ] as const) {
    for (const file of globSync(pattern, { cwd: root }).sort()) {
      hash.update(file).update(readFileSync(join(root, file)));
    }
  }
  return hash.digest('hex').slice(0, 12);
}

async function maven(project: string, output: string, javaHome: string): Promise<void> {
  const child = spawn(
    findMaven(),
    [
      ...['--batch-mode', '--quiet', '--file', join(project, 'pom.xml')],
      ...[`-Dreachflow.output=${output}`, 'package'],
    ],
    {
      env: { ...process.env, JAVA_HOME: javaHome },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: BUILD_TIMEOUT_MS,
    },
  );
  let tail = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-TAIL_CHARACTERS);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return;
  throw new ReachflowError(`Maven could not build ${project}:\n${tail}`, {
    code: 'PEER_BUILD_FAILED',
    domain: 'external',
    hint: 'What was fetched is kept: run it again once the cause is gone.',
  });
}

/** Builds a project once; the result is kept in the user's cache. @param made what there is once it is complete. */
async function build(
  name: string,
  jdk: Jdk,
  made: string,
  onProgress: (text: string) => void,
): Promise<string> {
  const project = join(import.meta.dirname, name);
  const parent = join(defaultCacheDir(), 'bench');
  const home = join(parent, `${name}-${buildHash(project, jdk.version)}`);
  if (existsSync(join(home, made))) return home;
  onProgress(`building ${name} with Maven, once …`);
  const making = `${home}.making-${process.pid}`;
  await mkdir(parent, { recursive: true });
  await maven(project, making, jdk.home);
  await rm(home, { recursive: true, force: true });
  await rename(making, home);
  return home;
}

/**
 * Builds a peer of our own once.
 * @param name its folder here.
 * @throws ReachflowError `JDK_NOT_FOUND`, `MAVEN_NOT_FOUND` or `PEER_BUILD_FAILED`.
 */
export async function buildPeer(
  name: string,
  onProgress: (text: string) => void,
): Promise<PeerBuild> {
  const jdk = findJdk();
  const home = await build(name, jdk, 'peer.jar', onProgress);
  const classPath = `${join(home, 'peer.jar')}:${join(home, 'lib', '*')}`;
  return { java: join(jdk.home, 'bin', 'java'), classPath };
}

/**
 * Fetches a peer that is a plugin of Kafka Connect, once.
 * @param name its folder here. @param plugin the directory that its archive unpacks into.
 * @returns that directory.
 * @throws ReachflowError as `buildPeer`.
 */
export async function fetchPlugin(
  name: string,
  plugin: string,
  onProgress: (text: string) => void,
): Promise<string> {
  return join(await build(name, findJdk(), plugin, onProgress), plugin);
}
