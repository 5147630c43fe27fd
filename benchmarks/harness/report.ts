import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { line, table } from '../../cli/output.ts';

/** One figure of one run. */
export interface Sample {
  readonly contestant: string;
  readonly run: number;
  readonly figures: Readonly<Record<string, number>>;
  /** Was what came out exactly right? Absent where nothing can be wrong. */
  readonly exact?: boolean;
  readonly detail?: string;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** A comparison by medians. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** At least that much is wanted; absent where nothing is. */
  readonly target?: number;
}

/** How a figure is shown. */
export interface Column {
  readonly figure: string;
  readonly title: string;
  readonly digits: number;
}

export interface Report {
  readonly scenario: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly columns: readonly Column[];
  readonly samples: readonly Sample[];
  readonly ratios: readonly Ratio[];
}

/** @throws RangeError without values. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (min === undefined || max === undefined || low === undefined || high === undefined) {
    throw new RangeError('no values');
  }
  return { min, max, median: (low + high) / 2 };
}

/** A figure of a contestant over its runs. */
export function figureOf(samples: readonly Sample[], contestant: string, figure: string): Spread {
  const mine = samples.filter((sample) => sample.contestant === contestant);
  return spreadOf(mine.map(({ figures }) => figures[figure] ?? Number.NaN));
}

export function contestantsOf(samples: readonly Sample[]): string[] {
  return [...new Set(samples.map(({ contestant }) => contestant))];
}

/**
 * How many times better the first contestant's median is than each other's.
 * @param better whether more or less of the figure is wanted.
 */
export function ratiosTo(
  samples: readonly Sample[],
  figure: string,
  name: string,
  better: 'more' | 'less',
): Ratio[] {
  const [first, ...others] = contestantsOf(samples);
  if (first === undefined) return [];
  const mine = figureOf(samples, first, figure).median;
  return others.map((other) => {
    const theirs = figureOf(samples, other, figure).median;
    const value = better === 'more' ? mine / theirs : theirs / mine;
    return { name: `${first} to ${other}: ${name}`, value };
  });
}

function shown(value: number, digits: number): string {
  return value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** Prints a report for people: median, least and most of each figure, what was wrong, and the ratios. */
export function print({ scenario, columns, samples, ratios }: Report): void {
  const rows = contestantsOf(samples).map((contestant) => {
    const mine = samples.filter((sample) => sample.contestant === contestant);
    const judged = mine.filter(({ exact }) => exact !== undefined);
    const exact = judged.filter((sample) => sample.exact === true).length;
    return [
      contestant,
      ...columns.map(({ figure, digits }) => {
        const { median, min, max } = figureOf(mine, contestant, figure);
        const range = mine.length > 1 ? ` (${shown(min, digits)}–${shown(max, digits)})` : '';
        return `${shown(median, digits)}${range}`;
      }),
      judged.length === 0 ? '–' : `${exact} of ${judged.length}`,
    ];
  });
  line(table([scenario, ...columns.map(({ title }) => title), 'exact'], rows));
  for (const { contestant, run, detail, exact } of samples) {
    if (detail !== undefined) {
      line(`  ${contestant}, run ${run}: ${exact === false ? 'not exact: ' : ''}${detail}`);
    }
  }
  for (const { name, value, target } of ratios) {
    const verdict =
      target === undefined ? '' : ` (${value >= target ? 'met' : 'missed'}: at least ${target}×)`;
    line(`${name} ${value.toFixed(2)}×${verdict}`);
  }
}

/** Writes a report for programs, with what it was measured on. */
export function writeJson(file: string, report: Report): void {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 1_048_576),
    node: process.version,
  };
  const measuredAt = new Date().toISOString();
  writeFileSync(file, `${JSON.stringify({ measuredAt, machine, ...report }, null, 2)}\n`);
}
