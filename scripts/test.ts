/**
 * `npm test [-- <filter or Vitest option>…]`: unit tests first, without servers, then integration tests on real
 * engines, then one summary. With `unit` or `integration` as the first argument, only these. The reports in JSON
 * stay in `.reachflow/test/`.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { addCounts, type Counts, countsText, readCounts } from './vitest-counts.ts';

const root = join(import.meta.dirname, '..');
const reports = join(root, '.reachflow', 'test');
const projects = ['unit', 'integration'] as const;
type Project = (typeof projects)[number];

function runVitest(project: Project, args: readonly string[]): Promise<number> {
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      ...['--project', project, '--passWithNoTests'],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${reportOf(project)}`],
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

function reportOf(project: Project): string {
  return join(reports, `${project}.json`);
}

const [first, ...rest] = process.argv.slice(2);
const only = projects.find((project) => project === first);
const args = only === undefined ? process.argv.slice(2) : rest;
const selected = only === undefined ? projects : [only];

mkdirSync(reports, { recursive: true });
for (const project of projects) rmSync(reportOf(project), { force: true });
let total: Counts = { passed: 0, failed: 0, skipped: 0 };
const summary: string[] = [];
for (const project of selected) {
  const started = Date.now();
  const counts = readCounts(reportOf(project), await runVitest(project, args));
  total = addCounts(total, counts);
  summary.push(
    `${project}: ${countsText(counts)} in ${Math.round((Date.now() - started) / 1_000)} s`,
  );
}
process.stdout.write(`\n${summary.join('\n')}\n${countsText(total)}\n`);
if (total.failed > 0) process.exitCode = 1;
