import type { CompatibilityLevel } from '../../schemas/compatibility.ts';
import { line, styled, table } from '../output.ts';
import { isBroken, type SchemaReport } from './check.ts';

/** Writes what a change means, for people. @param level the one that must hold. */
export function printReport(report: SchemaReport, level: CompatibilityLevel): void {
  const { topic, from, versions } = report;
  line(`${topic}: against ${versions} version${versions === 1 ? '' : 's'} (${from})`);
  if (versions === 0) line('  It is new.');
  else printVerdicts(report, level);
  printStores(report);
  printState(report);
  const broken = isBroken(report, level);
  line(broken ? styled('red', '  must not be rolled out like this') : styled('green', '  ok'));
}

function printVerdicts({ verdicts }: SchemaReport, level: CompatibilityLevel): void {
  const rows = verdicts.map((verdict) => [
    `  ${verdict.level}${verdict.level === level ? ' *' : ''}`,
    verdict.compatible ? 'compatible' : 'broken',
    verdict.violations
      .map(({ direction, version, path, reason }) => {
        const who =
          direction === 'backward' ? `reading version ${version}` : `version ${version} reading it`;
        return `${path === '' ? '(root)' : path}: ${reason} (${who})`;
      })
      .join('\n'),
  ]);
  line(table(['  level', 'verdict', 'why'], rows));
}

function printStores({ stores, budget }: SchemaReport): void {
  for (const { store, statements, refused } of stores) {
    if (statements.length === 0 && refused.length === 0) line(`  ${store}: nothing to do`);
    for (const statement of statements) line(`  ${store}: ${statement}`);
    for (const reason of refused) line(styled('red', `  ${store} cannot follow: ${reason}`));
  }
  if (budget !== undefined) line(`  elasticsearch: ${budget.used} of ${budget.limit} fields`);
}

function printState({ state: { readable, kept, fields } }: SchemaReport): void {
  if (kept.length === 0) {
    line('  state: no store holds its values');
    return;
  }
  const names = kept
    .map(({ pipeline, step, store }) => `${pipeline}.${step} (${store})`)
    .join(', ');
  line(
    readable
      ? `  state: ${names} can be read`
      : styled(
          'yellow',
          `  state: values in ${names} are without, or have otherwise: ${fields.join(', ')}`,
        ),
  );
}
