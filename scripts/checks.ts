import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const logs = join(root, '.reachflow', 'check');
const TIMEOUT_MS = 300_000;
const SHOWN_LINES = 60;
const LINE_LENGTH = 400;

/** A check that looks at the code and runs none of it. It passes as a whole, or fails. */
interface Check {
  readonly name: string;
  readonly command: readonly string[];
  /** Why it cannot be done on this machine, when it cannot. */
  readonly skip?: () => string | undefined;
}

const bin = (...path: string[]) => [process.execPath, join(root, ...path)];

const checks: readonly Check[] = [
  {
    name: 'lint',
    command: [
      ...bin('node_modules', '@biomejs', 'biome', 'bin', 'biome'),
      ...['check', '--error-on-warnings', '--max-diagnostics=30', '.'],
    ],
  },
  { name: 'types', command: [...bin('node_modules', 'typescript', 'bin', 'tsc'), '--noEmit'] },
  {
    name: 'page',
    command: [
      ...bin('node_modules', 'typescript', 'bin', 'tsc'),
      ...['--noEmit', '--project', 'console/page'],
    ],
  },
  {
    name: 'boundaries',
    command: [
      ...bin('node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs'),
      ...['--config', '.dependency-cruiser.cjs', '.'],
    ],
  },
  { name: 'generated', command: [...bin('scripts', 'generate.ts'), '--check'] },
  // Of a clone of a single commit, that commit: what is committed is then compared to itself.
  { name: 'schemas', command: bin('scripts', 'check-schemas.ts') },
  { name: 'docs', command: bin('scripts', 'check-docs.ts') },
  {
    name: 'compose',
    command: ['docker', 'compose', '-f', 'compose/docker-compose.yml', 'config', '--quiet'],
    skip: () =>
      spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status === 0
        ? undefined
        : 'there is no docker compose',
  },
];

export interface CheckResult {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
}

async function run({ name, command }: Check): Promise<boolean> {
  const log = createWriteStream(join(logs, `${name}.log`));
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const code = await new Promise<number>((resolve) => {
    child.once('error', (error) => {
      log.write(`${error.message}\n`);
      resolve(1);
    });
    child.once('close', (status) => resolve(status ?? 1));
  });
  await new Promise<void>((resolve) => log.end(resolve));
  return code === 0;
}

function showLog(name: string): void {
  const lines = readFileSync(join(logs, `${name}.log`), 'utf8')
    .trimEnd()
    .split('\n');
  if (lines.length > SHOWN_LINES) {
    process.stdout.write(`    … all ${lines.length} lines: .reachflow/check/${name}.log\n`);
  }
  for (const text of lines.slice(-SHOWN_LINES)) {
    process.stdout.write(`    ${text.slice(0, LINE_LENGTH)}\n`);
  }
}

/** Runs every check, also after one that failed, and prints a line for each; of a failed one, the end of its output. */
export async function runChecks(): Promise<CheckResult[]> {
  mkdirSync(logs, { recursive: true });
  const results: CheckResult[] = [];
  for (const check of checks) {
    const why = check.skip?.();
    if (why !== undefined) {
      process.stdout.write(`skipped ${check.name}: ${why}\n`);
      results.push({ name: check.name, outcome: 'skipped' });
      continue;
    }
    const started = Date.now();
    const outcome = (await run(check)) ? 'passed' : 'failed';
    const seconds = ((Date.now() - started) / 1_000).toFixed(1);
    process.stdout.write(`${outcome} ${check.name} (${seconds} s)\n`);
    if (outcome === 'failed') showLog(check.name);
    results.push({ name: check.name, outcome });
  }
  return results;
}
