/**
 * Writes everything that is generated: `schemas/types.ts` from the Avro schemas, `docs/configuration.md` from the
 * configuration's, the figures of `docs/guides/contact-identity.md` from labelled data,
 * Grafana's dashboards and `docs/guides/data-dictionary.md` from the charts and tables. `node scripts/generate.ts --check` writes nothing and exits 1 when one is stale.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configurationDocs } from '../cli/commands/config.ts';

const root = join(import.meta.dirname, '..');
const check = process.argv.includes('--check');

function generateDocs(): boolean {
  const path = join(root, 'docs', 'configuration.md');
  const wanted = configurationDocs();
  if (!check) {
    writeFileSync(path, wanted);
    process.stdout.write('docs/configuration.md written\n');
    return true;
  }
  let found = '';
  try {
    found = readFileSync(path, 'utf8');
  } catch {
    // Missing is stale.
  }
  const fresh = found === wanted;
  const state = fresh ? 'fresh' : 'stale: run `npm run generate`';
  process.stdout.write(`docs/configuration.md is ${state}\n`);
  return fresh;
}

function generateWith(...script: readonly string[]): boolean {
  const args = [join(root, ...script), ...(check ? ['--check'] : [])];
  return spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status === 0;
}

const results = [
  generateWith('schemas', 'generate.ts'),
  generateDocs(),
  generateWith('scripts', 'matching-quality.ts'),
  generateWith('scripts', 'dashboards.ts'),
];
if (results.includes(false)) process.exitCode = 1;
