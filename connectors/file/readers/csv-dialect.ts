import { CR, type CsvDialect, LF } from './csv-scanner.ts';

const QUOTE = 0x22;
/** In the order in which they win a tie. */
const CANDIDATES = [',', ';', '\t', '|'] as const;
const MAX_LINES = 20;

export interface CsvOptions {
  /** One character; detected when undefined. */
  readonly delimiter?: string | undefined;
  /** One character, or none: `''`. */
  readonly quote?: string | undefined;
}

/**
 * The delimiter is what divides the first lines into the most cells, each into equally many if possible.
 * @param sample the text's beginning, UTF-8.
 */
export function detectDialect(sample: Buffer, options: CsvOptions = {}): CsvDialect {
  const quote =
    options.quote === undefined ? QUOTE : options.quote === '' ? -1 : options.quote.charCodeAt(0);
  const crOnly = sample.includes(CR) && !sample.includes(LF);
  if (options.delimiter !== undefined)
    return { delimiter: options.delimiter.charCodeAt(0), quote, crOnly };
  const lines = firstLines(sample, quote, crOnly ? CR : LF);
  let best = { delimiter: CANDIDATES[0].charCodeAt(0), score: 0 };
  for (const candidate of CANDIDATES) {
    const delimiter = candidate.charCodeAt(0);
    const counts = lines.map((line) => countOutsideQuotes(line, delimiter, quote));
    const least = Math.min(...counts);
    const score = least * 1_000 + (counts[0] ?? 0);
    if (counts.length > 0 && score > best.score) best = { delimiter, score };
  }
  return { delimiter: best.delimiter, quote, crOnly };
}

/** Lines that are not empty, without one that the sample cuts off, unless it is the only one. */
function firstLines(sample: Buffer, quote: number, stop: number): Buffer[] {
  const lines: Buffer[] = [];
  let from = 0;
  let isQuoted = false;
  for (let at = 0; at < sample.length && lines.length < MAX_LINES; at += 1) {
    const byte = sample[at];
    if (byte === quote) isQuoted = !isQuoted;
    if (byte !== stop || isQuoted) continue;
    if (at - from > 1) lines.push(sample.subarray(from, at));
    from = at + 1;
  }
  if (lines.length === 0 && sample.length > 0) lines.push(sample);
  return lines;
}

function countOutsideQuotes(line: Buffer, delimiter: number, quote: number): number {
  let count = 0;
  let isQuoted = false;
  for (const byte of line) {
    if (byte === quote) isQuoted = !isQuoted;
    else if (byte === delimiter && !isQuoted) count += 1;
  }
  return count;
}

/** The delimiter as people call it. */
export function delimiterName({ delimiter }: CsvDialect): string {
  return delimiter === 9 ? 'tab' : String.fromCharCode(delimiter);
}
