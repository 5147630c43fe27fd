import type { CellRow } from './cell-row.ts';

/** Where a file can be entered again. */
export interface FilePosition {
  /** Rows before it, headings not counted. */
  readonly rows: number;
  /** Lines before it, of files that have lines. */
  readonly line: number;
  /** Bytes of the text before it; of formats that are no text whatever their reader wants, for progress. */
  readonly bytes: number;
}

export const FILE_START: FilePosition = { rows: 0, line: 0, bytes: 0 };

/** Where a row comes from, for people. */
export interface RowPlace {
  /** From 1. */
  readonly row: number;
  /** From 1; 0 where the format has no lines. */
  readonly line: number;
}

/** Takes rows, one after the other. What it is given is valid during the call only. Throwing ends the read. */
export interface RowVisitor {
  /** A row of cells, by the columns of the reader, not yet decoded. */
  cells(row: CellRow): void;
  /** A row of values, by the columns of the reader. */
  values(place: RowPlace, values: readonly unknown[]): void;
  /** An object of JSON, and its text in UTF-8. */
  object(place: RowPlace, value: Readonly<Record<string, unknown>>, text: Buffer): void;
  /** A row that is none, and why; the next one is read all the same. @param raw its beginning. */
  broken(place: RowPlace, reason: string, raw: string): void;
}

/** Reads the rows of one file, in order, in bounded memory. */
export interface RowReader {
  /** Which of the visitor's methods is called. */
  readonly kind: 'cells' | 'values' | 'objects';
  /** Names of the columns in order; for JSON what the first objects have. Each name once. */
  readonly columns: readonly string[];
  /** What was detected, for people, e.g. `csv, utf-8, delimiter ;`. */
  readonly description: string;
  /** What `FilePosition.bytes` ends at, if that is known before. */
  readonly size: number | undefined;
  /**
   * Hands over every row from `from` on. Yields now and then, where it could be entered again.
   * @throws ReachflowError `FILE_TRUNCATED`, `FILE_UNREADABLE`, `FILE_MALFORMED`, `FILE_LIMIT`: nothing after it can be read.
   */
  read(from: FilePosition, visitor: RowVisitor): AsyncIterable<FilePosition>;
}

/** Bytes of one row at most: with what is around it a record has to fit its topic. */
export const MAX_ROW_BYTES = 4_194_304;
export const MAX_COLUMNS = 4_096;
/** How much of a broken row is shown, bytes. */
export const RAW_BYTES = 500;
