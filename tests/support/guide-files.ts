import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '../..');
const BIN = join(ROOT, 'node_modules/.bin');
const run = promisify(execFile);

/** Code blocks of a guide as files. */
export interface GuideFiles {
  readonly dir: string;
  readonly files: readonly string[];
  remove(): Promise<void>;
}

/**
 * The code blocks of a guide that name a file, written beside each other into a directory two levels below the root, as
 * deep as a pipeline's, so that their imports lead to the same places.
 */
export async function writeGuideFiles(guide: string): Promise<GuideFiles> {
  const text = await readFile(join(ROOT, guide), 'utf8');
  const blocks = [...text.matchAll(/^```ts file=(\S+)\n(.*?)^```/gms)];
  await mkdir(join(ROOT, '.reachflow'), { recursive: true });
  const dir = await mkdtemp(join(ROOT, '.reachflow/guide-'));
  const files = blocks.map(([, name = '']) => name);
  for (const [, name = '', code = ''] of blocks) await writeFile(join(dir, name), code);
  return { dir, files, remove: () => rm(dir, { recursive: true, force: true }) };
}

/** Type-checks a guide's files as strictly as the project's own. @throws Error with what the compiler says. */
export async function checkGuideTypes({ dir }: GuideFiles): Promise<void> {
  const config = { extends: '../../tsconfig.json', include: ['*.ts'], exclude: [] };
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  const failed = (error: { stdout?: string }) => {
    throw new Error(error.stdout ?? String(error));
  };
  await run(join(BIN, 'tsc'), ['--noEmit', '-p', dir]).catch(failed);
}

/**
 * Runs a guide's tests in a Vitest of their own, without what the outer run has set. @param env more of it.
 * @returns how many passed and failed, and all that was printed.
 */
export async function runGuideTests(
  { dir }: GuideFiles,
  env: NodeJS.ProcessEnv = {},
): Promise<{ readonly passed: number; readonly failed: number; readonly output: string }> {
  await writeFile(
    join(dir, 'vitest.config.mjs'),
    "export default { test: { include: ['*.test.ts'], testTimeout: 60_000 } };",
  );
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|NODE_ENV|TEST)/.test(name),
  );
  const failing = (error: { stdout?: string }) => ({ stdout: error.stdout ?? String(error) });
  const { stdout } = await run(join(BIN, 'vitest'), ['run', '--root', dir, '--reporter', 'json'], {
    env: { ...Object.fromEntries(inherited), ...env },
  }).catch(failing);
  const start = stdout.indexOf('{');
  if (start === -1) return { passed: 0, failed: 1, output: stdout };
  const report = JSON.parse(stdout.slice(start)) as {
    readonly numPassedTests: number;
    readonly numFailedTests: number;
  };
  return { passed: report.numPassedTests, failed: report.numFailedTests, output: stdout };
}
