/**
 * Compares the Avro schemas to those that the main branch had when this one left it, or of the commit before, or of this
 * commit in a clone of a single one: `reachflow schemas check` fails when what was written can no longer be read.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

function git(...args: readonly string[]): string {
  return spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? '';
}

const head = git('rev-parse', '--verify', '--quiet', 'HEAD');
const candidates = [
  git('merge-base', 'origin/main', 'HEAD'),
  git('rev-parse', '--verify', '--quiet', 'HEAD~1'),
];
const against = candidates.find((commit) => commit !== '' && commit !== head) ?? head;

if (against === '') {
  process.stdout.write('there is no git here, and so nothing to compare the schemas to\n');
} else {
  const args = [join(root, 'cli', 'main.ts'), 'schemas', 'check', '--against', against];
  process.exitCode = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1;
}
