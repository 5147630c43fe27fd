import { table } from '../cli/output.ts';
import { count as figure, style } from '../demo/view/text.ts';
import { type Count, isRight } from './count/verdict.ts';

/** Totals of a run, beside the counts. */
export interface Totals {
  readonly seed: number;
  readonly durationMs: number;
  readonly faults: number;
  readonly webhooks: number;
  readonly transactions: number;
  readonly deadLetters: number;
  /** Workers that ended without having been asked to. */
  readonly losses: number;
  /** The largest resident memory of one worker, MiB. */
  readonly peakMiB: number;
  /** How often breakers of stores opened, and closed again. */
  readonly opened: number;
  readonly closed: number;
}

const HEAD = ['store', 'what', 'expected', 'found', 'missing', 'duplicate', 'reordered', 'stale'];

function cells(count: Count): string[] {
  const fault = (value: number) => (value === 0 ? '0' : style.bad(figure(value)));
  const { store, what, expected, found, missing, duplicate, reordered, stale } = count;
  return [
    store,
    what,
    figure(expected),
    figure(found),
    fault(missing),
    fault(duplicate),
    fault(reordered),
    fault(stale),
  ];
}

/** The counts as a table, what is wrong with samples, and the verdict. */
export function reportText(counts: readonly Count[], totals: Totals): string {
  const wrong = counts.filter((count) => !isRight(count));
  const samples = wrong.flatMap(({ store, what, samples: some }) =>
    some.map((sample) => style.dim(`    ${store}, ${what}: ${sample}`)),
  );
  const { seed, durationMs, faults, webhooks, transactions, deadLetters, losses, peakMiB } = totals;
  const summary =
    `${figure(webhooks)} webhooks and ${figure(transactions)} ledger transactions in ${Math.round(durationMs / 1_000)} s, ` +
    `${faults} faults, seed ${seed}; ${figure(deadLetters)} dead letters, ${losses} workers ended by themselves\n` +
    `a worker took ${figure(Math.round(peakMiB))} MiB at most; breakers of stores opened ${totals.opened}× and closed ${totals.closed}×`;
  const verdict = isProved(counts, totals)
    ? style.good('Proved for this run: nothing missing, nothing twice, nothing out of order.')
    : style.bad(
        `Not proved: ${wrong.length} of ${counts.length} counts are wrong${deadLetters > 0 ? ', and there are dead letters of good records' : ''}. Repeat with --seed ${seed}.`,
      );
  return [table(HEAD, counts.map(cells)), ...samples, '', summary, verdict].join('\n');
}

/** Whether every count is right and nothing that was sent became a dead letter: all of it is good. */
export function isProved(counts: readonly Count[], { deadLetters }: Totals): boolean {
  return counts.every(isRight) && deadLetters === 0;
}
