import { createLogUpdate } from 'log-update';
import type { ImportProgress, ImportResult } from '../connectors/file/import-options.ts';
import type { FileSample, Preview } from '../connectors/file/sample.ts';
import { formatBytes } from './checkpoint-view.ts';
import { note, styled, table } from './output.ts';

const BAR_WIDTH = 24;
/** Between two lines where nothing can be redrawn, ms. */
const LINE_MS = 5_000;
const CELL_WIDTH = 32;

export interface ImportBar {
  readonly show: (progress: ImportProgress) => void;
  /** Leaves what is on the screen. Idempotent. */
  readonly end: () => void;
}

function progressText(
  name: string,
  { rows, rejected, done }: ImportProgress,
  perSecond: number,
): string {
  const refused = rejected === 0 ? '' : `, ${rejected} rejected`;
  const share = done === undefined ? '' : `${Math.floor(done * 100)} %  `;
  return `${name}  ${share}${rows} rows${refused}, ${Math.round(perSecond)}/s`;
}

/** How far an import is: a bar on a terminal, a line now and then elsewhere. */
export function importBar(name: string, stream: NodeJS.WriteStream = process.stderr): ImportBar {
  const began = performance.now();
  let first: number | undefined;
  const text = (progress: ImportProgress): string => {
    // What an earlier run did is not this one's speed.
    first ??= progress.rows;
    const seconds = (performance.now() - began) / 1_000;
    return progressText(name, progress, seconds > 0 ? (progress.rows - first) / seconds : 0);
  };
  if (!stream.isTTY) {
    let shownAt = performance.now();
    return {
      show(progress) {
        if (performance.now() - shownAt < LINE_MS) return;
        shownAt = performance.now();
        note(text(progress));
      },
      end: () => undefined,
    };
  }
  const redraw = createLogUpdate(stream);
  return {
    show(progress) {
      const filled = Math.round(BAR_WIDTH * (progress.done ?? 0));
      const bar =
        progress.done === undefined
          ? ''
          : `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}  `;
      redraw(`${bar}${text(progress)}`);
    },
    end: () => redraw.clear(),
  };
}

/** One line: what became of a file. */
export function resultLine(name: string, result: ImportResult, topic: string): string {
  const { outcome, rows, rejected, fileBytes, resumedAt, importId, rejectsPath } = result;
  const accepted = rows - rejected;
  const refused = rejected === 0 ? '' : `, ${rejected} rejected: ${rejectsPath}`;
  if (outcome === 'already')
    return `${name}: already imported as ${importId}, ${accepted} rows${refused}. --again imports it once more.`;
  const resumed = resumedAt === 0 ? '' : `, from row ${resumedAt + 1} on`;
  return `${styled('green', 'imported')} ${name}: ${accepted} rows (${formatBytes(fileBytes)}) to ${topic} as ${importId}${resumed}${refused}`;
}

function cell(text: string): string {
  const plain = text.replaceAll(/\s+/g, ' ');
  return plain.length > CELL_WIDTH ? `${plain.slice(0, CELL_WIDTH - 1)}…` : plain;
}

/** The columns that were found, each with its first cells. */
export function columnsTable({ columns, rows }: FileSample, shown: number): string {
  const first = rows.slice(0, shown);
  return table(
    ['column', ...first.map((_, i) => `row ${i + 1}`)],
    columns.map((column, i) => [column, ...first.map((row) => cell(row[i] ?? ''))]),
  );
}

/** The first rows as they would be published. */
export function previewText(name: string, { columns, description, rows }: Preview): string {
  const shown = rows.map((row) => {
    const place = row.line === 0 ? `row ${row.row}` : `row ${row.row} (line ${row.line})`;
    if ('reasons' in row)
      return `${place}  ${styled('red', 'rejected')}: ${row.reasons.join('; ')}`;
    const time = row.occurredAt === null ? '' : ` at ${row.occurredAt}`;
    return `${place}  key ${row.key}${time}\n  ${JSON.stringify(row.payload)}`;
  });
  return [`${name}: ${description}`, `columns: ${columns.join(', ')}`, ...shown].join('\n');
}
