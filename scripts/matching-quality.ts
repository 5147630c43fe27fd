/** Writes the tables and the picture of docs/guides/contact-identity.md: `node scripts/matching-quality.ts`; `--check` compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MATCH_BITS } from '../pipelines/identity/matching/score.ts';
import {
  clusterQuality,
  type Evaluation,
  evaluate,
  pairQuality,
} from '../pipelines/identity/matching/testing/evaluate.ts';
import { loadFebrl } from '../pipelines/identity/matching/testing/febrl.ts';

const guide = join(import.meta.dirname, '..', 'docs', 'guides', 'contact-identity.md');
const picture = join(import.meta.dirname, '..', 'docs', 'guides', 'contact-identity.svg');
const [BEGIN, END] = ['<!-- figures -->', '<!-- /figures -->'];
const THRESHOLDS = [4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 34, 38];
const [WIDTH, HEIGHT, LEFT, TOP] = [640, 300, 50, 20];

/** The third was held out: nothing was chosen with a look at it. */
const sets = ([1, 2, 3] as const).map((set) => ({ set, evaluation: evaluate(loadFebrl(set)) }));

function tableOf({ set, evaluation }: { set: number; evaluation: Evaluation }): string {
  const rows = THRESHOLDS.map((bits) => {
    const [pairs, contacts] = [pairQuality(evaluation, bits), clusterQuality(evaluation, bits)];
    const cells = [pairs.precision, pairs.recall, contacts.precision, contacts.recall];
    const shown = cells.map((cell) => cell.toFixed(4));
    const at = bits === MATCH_BITS ? `**${bits}**` : String(bits);
    return `| ${[at, ...shown].join(' | ')} |`;
  });
  return [
    `Febrl ${set}: ${evaluation.records.length} records, ${evaluation.truePairs} pairs of one person, ${evaluation.pairs.length} candidates.`,
    '',
    '| bits | precision, pairs | recall, pairs | precision, contacts | recall, contacts |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

const x = (bits: number) => LEFT + ((bits - 4) / 34) * (WIDTH - LEFT - 20);
const y = (share: number) => TOP + ((1 - share) / 0.5) * (HEIGHT - TOP - 40);

function curve(evaluation: Evaluation, measure: 'precision' | 'recall', style: string): string {
  const points = THRESHOLDS.map((bits) => {
    const value = clusterQuality(evaluation, bits)[measure];
    return `${x(bits).toFixed(1)},${y(Math.max(0.5, value)).toFixed(1)}`;
  });
  return `<polyline fill="none" stroke-width="2" ${style} points="${points.join(' ')}"/>`;
}

function svg(): string {
  const ticks = [0.5, 0.6, 0.7, 0.8, 0.9, 1].map(
    (share) =>
      `<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${y(share)}" y2="${y(share)}" stroke="#ccc"/><text x="${LEFT - 8}" y="${y(share) + 4}" text-anchor="end">${share}</text>`,
  );
  const marks = [4, 10, 14, 20, 26, 32, 38].map(
    (bits) => `<text x="${x(bits)}" y="${HEIGHT - 22}" text-anchor="middle">${bits}</text>`,
  );
  const styles = ['stroke="#1f6feb"', 'stroke="#d1570b"', 'stroke="#2f7d32"'];
  const curves = sets.flatMap(({ evaluation }, i) => [
    curve(evaluation, 'recall', styles[i] ?? ''),
    curve(evaluation, 'precision', `${styles[i] ?? ''} stroke-dasharray="5 4"`),
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    '<title>Precision and recall over the threshold</title>',
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...ticks,
    ...marks,
    `<line x1="${x(MATCH_BITS)}" x2="${x(MATCH_BITS)}" y1="${TOP}" y2="${HEIGHT - 40}" stroke="#888"/>`,
    ...curves,
    `<text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">threshold, bits of evidence</text>`,
    `<text x="${LEFT + 10}" y="${HEIGHT - 82}" fill="#1f6feb">Febrl 1</text>`,
    `<text x="${LEFT + 10}" y="${HEIGHT - 66}" fill="#d1570b">Febrl 2</text>`,
    `<text x="${LEFT + 10}" y="${HEIGHT - 50}" fill="#2f7d32">Febrl 3, held out; recall solid, precision dashed</text>`,
    '</svg>',
    '',
  ].join('\n');
}

const text = readFileSync(guide, 'utf8');
const [before = ''] = text.split(BEGIN);
const after = text.split(END)[1] ?? '';
const wanted = `${before}${BEGIN}\n${sets.map(tableOf).join('\n\n')}\n${END}${after}`;
if (process.argv.includes('--check')) {
  const fresh = text === wanted && readFileSync(picture, 'utf8') === svg();
  process.stdout.write(
    `docs/guides/contact-identity.md is ${fresh ? 'fresh' : 'stale: run `npm run generate`'}\n`,
  );
  if (!fresh) process.exitCode = 1;
} else {
  writeFileSync(guide, wanted);
  writeFileSync(picture, svg());
  process.stdout.write('docs/guides/contact-identity.md written\n');
}
