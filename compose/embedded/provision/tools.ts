import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ReachflowError } from '../../../runtime/errors.ts';
import { aborted } from '../lock.ts';
import type { Jdk } from '../toolchain.ts';
import { FILE_LIST, verifyFiles } from './file-list.ts';

/** The last lines of a failed command that its error quotes. */
const QUOTED_LINES = 12;

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
  /** Called for each line of standard output. */
  readonly onLine?: (line: string) => void;
}

/**
 * Run a command to its end.
 * @throws ReachflowError with `code` (default `STACK_COMMAND_FAILED`) quoting its last lines; `STACK_ABORTED`.
 */
export async function run(
  what: string,
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<void> {
  const { onLine, signal, ...spawnOptions } = options;
  if (wasAborted(signal)) throw aborted();
  const child = spawn(file, args, { ...spawnOptions, stdio: ['ignore', 'pipe', 'pipe'] });
  const tail: string[] = [];
  const keep = (line: string): void => {
    if (line.trim() !== '') tail.push(line);
    if (tail.length > QUOTED_LINES) tail.shift();
  };
  createInterface(child.stdout).on('line', (line) => {
    keep(line);
    onLine?.(line);
  });
  createInterface(child.stderr).on('line', keep);
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  signal?.addEventListener('abort', stop, { once: true });
  const ended = await new Promise<{ code: number | null; error?: Error }>((resolve) => {
    child.once('error', (error) => resolve({ code: null, error }));
    child.once('close', (code) => resolve({ code }));
  });
  signal?.removeEventListener('abort', stop);
  if (wasAborted(signal)) throw aborted();
  if (ended.code === 0) return;
  throw new ReachflowError(`${what} failed (exit ${ended.code}):\n${tail.join('\n')}`, {
    code: 'STACK_COMMAND_FAILED',
    domain: 'external',
    retry: 'backoff',
    hint: 'What was fetched is kept: once the cause is gone, run the command again and it goes on from there.',
    cause: ended.error,
  });
}

function wasAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

export interface MavenCall {
  readonly mvn: string;
  readonly jdk: Jdk;
  /** Directory of the `pom.xml` that lists what to fetch. */
  readonly pomDir: string;
  readonly outputDir: string;
  /** `copy`: jars with all they need at run time. `unpack`: the listed archives' contents. */
  readonly mode: 'copy' | 'unpack';
  /** false only to make the list of files that all other calls are verified against. */
  readonly verify?: boolean;
  readonly onProgress: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
}

const UNITS: Readonly<Record<string, number>> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 };

/**
 * Fetch the dependencies of a pom. Maven keeps complete files in its own repository, so an interrupted fetch
 * goes on where it stopped; `-C` makes a wrong checksum an error.
 */
export async function runMaven(call: MavenCall): Promise<void> {
  let files = 0;
  let bytes = 0;
  const onLine = (line: string): void => {
    const done = /Downloaded from \S+ (\S+) \(([\d.]+) ([kMG]?B)\b/.exec(line);
    const begun = /Downloading from \S+ (\S+)/.exec(line)?.[1];
    if (done !== null) {
      files += 1;
      bytes += Number(done[2]) * (UNITS[done[3] ?? 'B'] ?? 1);
    }
    const url = done?.[1] ?? begun;
    if (url === undefined) return;
    const name = url.slice(url.lastIndexOf('/') + 1);
    call.onProgress(`${files} files, ${(bytes / 1e6).toFixed(1)} MB fetched; ${name}`);
  };
  const [goal, options] =
    call.mode === 'copy' ? ['copy-dependencies', ['-DincludeScope=runtime']] : ['unpack', []];
  await mkdir(call.outputDir, { recursive: true });
  await run(
    `Maven (${goal} of ${call.pomDir})`,
    call.mvn,
    [
      ...['--batch-mode', '--file', join(call.pomDir, 'pom.xml')],
      ...[`dependency:${goal}`, `-Dreachflow.output=${call.outputDir}`, ...options],
    ],
    { env: { ...process.env, JAVA_HOME: call.jdk.home }, onLine, signal: call.signal },
  );
  for (const name of ['.markers', '.maven']) {
    await rm(join(call.outputDir, name), { recursive: true, force: true });
  }
  if (call.verify !== false) await verifyFiles(call.outputDir, join(call.pomDir, FILE_LIST));
}

export interface JavaBuild {
  readonly jdk: Jdk;
  readonly sourceDir: string;
  /** Language level and class file version. */
  readonly release: number;
  readonly classPath: readonly string[];
  readonly jar: string;
  readonly signal?: AbortSignal | undefined;
}

/** Compile a tree of Java sources into one jar; nothing is left beside the jar. */
export async function buildJar(build: JavaBuild, resourcesDir?: string): Promise<void> {
  const classes = await mkdtemp(join(tmpdir(), 'reachflow-javac-'));
  try {
    const sources = (await readdir(build.sourceDir, { recursive: true }))
      .filter((name) => name.endsWith('.java'))
      .map((name) => join(build.sourceDir, name));
    const bin = join(build.jdk.home, 'bin');
    const { signal } = build;
    await run(
      `javac of ${build.sourceDir}`,
      join(bin, 'javac'),
      [
        ...['-nowarn', '--release', String(build.release), '-encoding', 'UTF-8', '-d', classes],
        ...['-cp', build.classPath.join(':'), ...sources],
      ],
      { signal },
    );
    const resources = resourcesDir === undefined ? [] : ['-C', resourcesDir, '.'];
    await run(
      `jar ${build.jar}`,
      join(bin, 'jar'),
      ['--create', '--file', build.jar, '-C', classes, '.', ...resources],
      { signal },
    );
  } finally {
    await rm(classes, { recursive: true, force: true });
  }
}

/** The jars of a directory, sorted: a stable class path is what a class data archive is checked against. */
export async function jarsIn(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.jar')).sort();
  return names.map((name) => join(directory, name));
}
