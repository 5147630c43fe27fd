/**
 * `npm test [-- <filter or Vitest option>…]`: unit tests first, without servers, then integration tests on real
 * engines, fault tests last; then one summary. With `unit` or `integration` as the first argument, only these (fault tests
 * are integration tests, too). One project at a time: on two cores, engines that are killed beside the tests of others
 * come back so late that both fail. The reports in JSON stay in `.reachflow/test/`.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  addCounts,
  type Counts,
  countsText,
  readCounts,
  reportOf,
  type TestProject,
  testProjects,
} from './vitest-counts.ts';

const root = join(import.meta.dirname, '..');
/** What the first argument may name. */
const parts: Readonly<Record<string, readonly TestProject[]>> = {
  unit: ['unit'],
  integration: ['integration', 'faults'],
};

function runVitest(project: TestProject, args: readonly string[]): Promise<number> {
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      ...['--project', project, '--passWithNoTests'],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${reportOf(root, project)}`],
      ...args,
    ],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  // Ctrl-C reaches Vitest by itself; we wait for it to stop the engines it started.
  const onInterrupt = () => undefined;
  const onTerm = () => child.kill('SIGTERM');
  process.on('SIGINT', onInterrupt).on('SIGTERM', onTerm);
  return new Promise<number>((resolve) => {
    child.once('error', () => resolve(1));
    child.once('exit', (code) => resolve(code ?? 1));
  }).finally(() => process.off('SIGINT', onInterrupt).off('SIGTERM', onTerm));
}

/** Runs a project's tests. Returns what they came to, and a line that says so. */
async function counted(project: TestProject): Promise<{ counts: Counts; line: string }> {
  const started = Date.now();
  const exitCode = await runVitest(project, args);
  const counts = readCounts(reportOf(root, project), exitCode);
  const seconds = Math.round((Date.now() - started) / 1_000);
  return { counts, line: `${project}: ${countsText(counts)} in ${seconds} s` };
}

const [first = '', ...rest] = process.argv.slice(2);
const part = Object.hasOwn(parts, first) ? parts[first] : undefined;
const args = part === undefined ? process.argv.slice(2) : rest;
const selected = part ?? testProjects;

for (const project of testProjects) {
  mkdirSync(dirname(reportOf(root, project)), { recursive: true });
  rmSync(reportOf(root, project), { force: true });
}
let total: Counts = { passed: 0, failed: 0, skipped: 0 };
const summary: string[] = [];
for (const project of selected) {
  const { counts, line } = await counted(project);
  total = addCounts(total, counts);
  summary.push(line);
}
process.stdout.write(`\n${summary.join('\n')}\n${countsText(total)}\n`);
if (total.failed > 0) process.exitCode = 1;
