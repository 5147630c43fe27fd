/** Writes what is made from the charts and tables: Grafana's dashboards and the data dictionary. `--check` as in `generate.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataDictionary } from '../dashboards/dictionary.ts';
import { grafanaDashboards } from '../dashboards/grafana.ts';

const root = join(import.meta.dirname, '..');
const check = process.argv.includes('--check');

const files = new Map([
  ['docs/guides/data-dictionary.md', dataDictionary()],
  ...[...grafanaDashboards()].map(
    ([name, text]) => [`deploy/grafana/dashboards/${name}`, text] as const,
  ),
]);

function found(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Missing is stale.
    return '';
  }
}

for (const [file, wanted] of files) {
  const path = join(root, file);
  if (!check) {
    writeFileSync(path, wanted);
    process.stdout.write(`${file} written\n`);
    continue;
  }
  const fresh = found(path) === wanted;
  process.stdout.write(`${file} is ${fresh ? 'fresh' : 'stale: run `npm run generate`'}\n`);
  if (!fresh) process.exitCode = 1;
}
