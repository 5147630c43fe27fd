/** What `.ci/run` does once the dependencies are there: every check and `npm test`, then the sum in the last line. */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runChecks } from './checks.ts';
import { addCounts, type Counts, readCounts, reportOf, testProjects } from './vitest-counts.ts';

const root = join(import.meta.dirname, '..');

function npmTest(): Promise<number> {
  const child = spawn('npm', ['test'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CI: 'true' },
  });
  return new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

const results = await runChecks();
for (const project of testProjects) rmSync(reportOf(root, project), { force: true });
const exitCode = await npmTest();
const counts = testProjects.map((project) => readCounts(reportOf(root, project), 0));
let total: Counts = {
  passed: results.filter(({ outcome }) => outcome === 'passed').length,
  failed: results.filter(({ outcome }) => outcome === 'failed').length,
  skipped: 0,
};
for (const count of counts) total = addCounts(total, count);
// An unhandled error, or engines that did not stop: no test failed, but the run did.
if (exitCode !== 0 && counts.every(({ failed }) => failed === 0)) {
  total = addCounts(total, { passed: 0, failed: 1, skipped: 0 });
}
process.exitCode = total.failed > 0 ? 1 : 0;
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
