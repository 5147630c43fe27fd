import { styleText } from 'node:util';
import Table from 'cli-table3';

type Style = Parameters<typeof styleText>[0];

/** Writes one line of a command's result to standard output. */
export function line(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** Writes one line to standard error: what is not the result, such as progress and errors. */
export function note(text = ''): void {
  process.stderr.write(`${text}\n`);
}

/** Text in a style, where the stream shows styles: a terminal, without NO_COLOR, or with FORCE_COLOR. */
export function styled(
  style: Style,
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(style, text, { stream });
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Rows under their headings, in columns, without a line break at the end. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const grid = new Table({
    chars: NO_BORDERS,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  grid.push(head.map((text) => styled('dim', text)));
  for (const row of rows) grid.push([...row]);
  return grid
    .toString()
    .split('\n')
    .map((text) => text.trimEnd())
    .join('\n');
}
