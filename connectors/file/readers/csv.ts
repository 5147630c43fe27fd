import { isUtf8 } from 'node:buffer';
import { ReachflowError } from '../../../runtime/errors.ts';
import { openText, type TextFile } from '../byte-source.ts';
import { ByteWindow } from '../byte-window.ts';
import { SAMPLE_BYTES } from '../encoding.ts';
import { columnNames, numberedColumns } from './columns.ts';
import { type CsvOptions, delimiterName, detectDialect } from './csv-dialect.ts';
import { CR, type CsvDialect, CsvScanner, INCOMPLETE, LF } from './csv-scanner.ts';
import {
  type FilePosition,
  MAX_ROW_BYTES,
  RAW_BYTES,
  type RowReader,
  type RowVisitor,
} from './reader.ts';
import { scanText, type TextScanner } from './scan-text.ts';

export interface CsvReaderOptions extends CsvOptions {
  /** Whether the first row that is read has the names of the columns. */
  readonly header: boolean;
  /** Lines before it that are passed over. */
  readonly skipLines: number;
  /** What becomes of a row with fewer cells than columns. */
  readonly ragged: 'reject' | 'pad';
}

/** Every unclosed quote is looked for as far as a row may reach: a file full of them would take for ever. */
const MAX_UNCLOSED = 1_000;

interface Start {
  readonly dialect: CsvDialect;
  readonly columns: readonly string[];
  /** Where the rows begin. */
  readonly position: FilePosition;
}

/**
 * CSV as RFC 4180 has it, and as it is found: other delimiters and quotes, LF, CRLF or CR. Lines without any text are
 * no rows. A row that is broken ends with its line.
 * @throws ReachflowError `FILE_UNREADABLE`, `FILE_TRUNCATED`, `FILE_EMPTY`.
 */
export async function openCsv(file: TextFile, options: CsvReaderOptions): Promise<RowReader> {
  const start = await findStart(file, options);
  const { columns, dialect } = start;
  const name = delimiterName(dialect);
  return {
    kind: 'cells',
    columns,
    description: `csv, ${file.detected.encoding}, delimiter ${name}${file.gzip ? ', gzip' : ''}`,
    size: file.textBytes,
    read: (from, visitor) => {
      const entry = from.bytes === 0 ? start.position : from;
      const reading = { visitor, columns: columns.length, pad: options.ragged === 'pad' };
      return scanText(file, entry, (window) => new CsvRowScanner(window, dialect, reading, entry));
    },
  };
}

async function findStart(file: TextFile, options: CsvReaderOptions): Promise<Start> {
  const source = await openText(file, 0);
  const window = new ByteWindow(source, 0, MAX_ROW_BYTES);
  try {
    while (!window.ended && window.end - window.start < SAMPLE_BYTES) await window.fill();
    const sample = window.buffer.subarray(window.start, window.end);
    if (sample.length === 0) throw empty(file.path);
    let line = 0;
    const crOnly = sample.includes(CR) && !sample.includes(LF);
    for (; line < options.skipLines; line += 1) {
      const found = sample.indexOf(crOnly ? CR : LF, window.start);
      if (found === -1 || found >= window.end) throw empty(file.path);
      window.consumeTo(found + 1);
    }
    const dialect = detectDialect(sample.subarray(window.start), options);
    const scanner = new CsvScanner(dialect);
    for (;;) {
      const final = window.ended || window.full;
      const next = scanner.next(window.buffer, window.start, window.end, final);
      if (next === INCOMPLETE) {
        await window.fill();
        continue;
      }
      if (window.start >= window.end || scanner.problem !== undefined) throw empty(file.path);
      if (isBlank(scanner)) {
        window.consumeTo(next);
        line += scanner.lines;
        continue;
      }
      const first = scanner.row.texts();
      if (!options.header)
        return {
          dialect,
          columns: numberedColumns(first.length),
          position: { rows: 0, line, bytes: window.consumed },
        };
      window.consumeTo(next);
      line += scanner.lines;
      return {
        dialect,
        columns: columnNames(first),
        position: { rows: 0, line, bytes: window.consumed },
      };
    }
  } finally {
    await source.close();
  }
}

function isBlank({ row }: CsvScanner): boolean {
  return row.count === 1 && row.from === row.to;
}

/** Who takes the rows, and what a row has to have. */
export interface CsvReading {
  readonly visitor: RowVisitor;
  readonly columns: number;
  readonly pad: boolean;
}

/** Rows of the cells of a window. */
export class CsvRowScanner implements TextScanner {
  readonly #window: ByteWindow;
  readonly #scanner: CsvScanner;
  readonly #reading: CsvReading;
  readonly #stop: number;
  #rows: number;
  #line: number;
  #unclosed = 0;
  /** Within a line that is too long: what is left of it is passed over. */
  #skipping = false;

  constructor(window: ByteWindow, dialect: CsvDialect, reading: CsvReading, from: FilePosition) {
    this.#window = window;
    this.#scanner = new CsvScanner(dialect);
    this.#reading = reading;
    this.#rows = from.rows;
    this.#line = from.line;
    this.#stop = dialect.crOnly ? CR : LF;
  }

  get position(): FilePosition {
    return { rows: this.#rows, line: this.#line, bytes: this.#window.consumed };
  }

  scan(): void {
    const window = this.#window;
    if (this.#skipping) this.#skip();
    const { buffer, end, ended } = window;
    // Once for all rows, unless one is not: what the window cuts off at its end may be half a character.
    const whole = ended ? end : buffer.subarray(0, end).lastIndexOf(this.#stop) + 1;
    const isClean = isUtf8(buffer.subarray(window.start, Math.max(whole, window.start)));
    let at = window.start;
    while (at < end) {
      const next = this.#scanner.next(buffer, at, end, ended || end - at > MAX_ROW_BYTES);
      if (next === INCOMPLETE) break;
      this.#take(next, isClean);
      at = next;
    }
    window.consumeTo(at);
  }

  /** Hands over the row that was scanned, up to `next`. */
  #take(next: number, isClean: boolean): void {
    const scanner = this.#scanner;
    const { row } = scanner;
    const window = this.#window;
    if (isBlank(scanner)) {
      this.#line += 1;
      return;
    }
    this.#rows += 1;
    row.row = this.#rows;
    row.line = this.#line + 1;
    this.#line += scanner.lines;
    if (row.to - row.from > MAX_ROW_BYTES) {
      this.#broken(`it is longer than ${MAX_ROW_BYTES} bytes`);
      this.#skipping =
        next === window.end && !window.ended && window.buffer[next - 1] !== this.#stop;
      return;
    }
    if (scanner.problem !== undefined) {
      if (scanner.unclosed) this.#countUnclosed();
      this.#broken(scanner.problem);
    } else if (!isClean && !isUtf8(row.buffer.subarray(row.from, row.to))) {
      this.#broken('it is not UTF-8: name the encoding in the map');
    } else {
      this.#hand();
    }
  }

  #hand(): void {
    const { columns, pad, visitor } = this.#reading;
    const { row } = this.#scanner;
    if (row.count !== columns && !(pad && row.count < columns) && !this.#hasEmptyRest(columns)) {
      this.#broken(`it has ${row.count} cells, the headings ${columns}`);
      return;
    }
    visitor.cells(row);
  }

  /** More cells than columns, but nothing in them. */
  #hasEmptyRest(columns: number): boolean {
    const { row } = this.#scanner;
    if (row.count < columns) return false;
    for (let i = columns; i < row.count; i += 1) if (row.starts[i] !== row.ends[i]) return false;
    return true;
  }

  #broken(reason: string): void {
    const { row } = this.#scanner;
    const raw = row.buffer.toString('utf8', row.from, Math.min(row.to, row.from + RAW_BYTES));
    this.#reading.visitor.broken({ row: row.row, line: row.line }, reason, raw);
  }

  #countUnclosed(): void {
    this.#unclosed += 1;
    if (this.#unclosed <= MAX_UNCLOSED) return;
    throw new ReachflowError(`more than ${MAX_UNCLOSED} quotes are not closed`, {
      code: 'FILE_MALFORMED',
      domain: 'user',
      hint: "Quotes are not what quotes cells here? Set csv.quote in the map, '' for none.",
    });
  }

  #skip(): void {
    const window = this.#window;
    const found = window.buffer.subarray(0, window.end).indexOf(this.#stop, window.start);
    this.#skipping = found === -1 && !window.ended;
    window.consumeTo(found === -1 ? window.end : found + 1);
  }
}

function empty(path: string): ReachflowError {
  return new ReachflowError(`${path} has no headings and no rows`, {
    code: 'FILE_EMPTY',
    domain: 'user',
    hint: 'Is it the right file? csv.skipLines and csv.header of the map say where its headings are.',
  });
}
