import { CellRow } from './cell-row.ts';
import { MAX_COLUMNS } from './reader.ts';

/** How cells and rows are told apart: RFC 4180, with another delimiter or quote. Bytes. */
export interface CsvDialect {
  readonly delimiter: number;
  /** -1 for none. */
  readonly quote: number;
  /** Rows end with a carriage return alone, as on old Macs. */
  readonly crOnly: boolean;
}

export const LF = 10;
export const CR = 13;
/** The row is not all there yet. */
export const INCOMPLETE = -1;

/**
 * Finds the cells of one row after another in bytes, without decoding or copying them: a decoded
 * string for each cell takes longer than all of this.
 */
export class CsvScanner {
  /** The last row. */
  readonly row: CellRow;
  /** Why the last row is none; undefined when it is one. */
  problem: string | undefined;
  /** Whether that is a quote that is not closed. */
  unclosed = false;
  /** Lines that the last row has. */
  lines = 1;
  readonly #delimiter: number;
  readonly #quote: number;
  readonly #crOnly: boolean;
  #rowStart = 0;

  constructor({ delimiter, quote, crOnly }: CsvDialect) {
    this.row = new CellRow(MAX_COLUMNS, quote);
    this.#delimiter = delimiter;
    this.#quote = quote;
    this.#crOnly = crOnly;
  }

  /**
   * Scans the row that begins at `at`. @param final nothing comes behind `end`.
   * @returns the position behind the row and its line break, or INCOMPLETE.
   */
  next(buffer: Buffer, at: number, end: number, final: boolean): number {
    const { row } = this;
    row.buffer = buffer;
    row.count = 0;
    row.from = at;
    this.#rowStart = at;
    this.problem = undefined;
    this.unclosed = false;
    this.lines = 1;
    for (let from = at; ; ) {
      const cellEnd =
        buffer[from] === this.#quote && from < end
          ? this.#quoted(buffer, from, end, final)
          : this.#plain(buffer, from, end, final);
      if (cellEnd === INCOMPLETE) return INCOMPLETE;
      if (this.problem !== undefined) return this.#skipLine(buffer, cellEnd, end, final);
      if (cellEnd < end && buffer[cellEnd] === this.#delimiter) {
        from = cellEnd + 1;
        continue;
      }
      row.to = cellEnd;
      return cellEnd >= end ? end : this.#behindBreak(buffer, cellEnd, end, final);
    }
  }

  /** A cell without quotes around it; returns where its delimiter or line break is. */
  #plain(buffer: Buffer, from: number, end: number, final: boolean): number {
    const delimiter = this.#delimiter;
    let at = from;
    for (; at < end; at += 1) {
      const byte = buffer[at];
      if (byte === delimiter || byte === LF) break;
      if (byte === CR && this.#breaks(buffer, at, end)) break;
    }
    if (at >= end && !final) return INCOMPLETE;
    this.#add(from, at, 0);
    return at;
  }

  /** Whether a carriage return ends its row; one that is cut off from what follows does. */
  #breaks(buffer: Buffer, at: number, end: number): boolean {
    return this.#crOnly || at + 1 >= end || buffer[at + 1] === LF;
  }

  /** A cell in quotes, from the opening one on; returns where its delimiter or line break is. */
  #quoted(buffer: Buffer, from: number, end: number, final: boolean): number {
    const quote = this.#quote;
    let doubled = 0;
    let at = from + 1;
    for (; at < end; at += 1) {
      const byte = buffer[at];
      if (byte === LF) this.lines += 1;
      if (byte !== quote) continue;
      if (at + 1 >= end && !final) return INCOMPLETE;
      if (at + 1 >= end || buffer[at + 1] !== quote) break;
      doubled = 1;
      at += 1;
    }
    if (at >= end) {
      return final ? this.#notClosed() : INCOMPLETE;
    }
    this.#add(from + 1, at, doubled);
    const behind = at + 1;
    if (behind >= end) return behind;
    const next = buffer[behind];
    if (next === this.#delimiter || next === LF) return behind;
    if (next === CR && this.#breaks(buffer, behind, end)) return behind;
    // On another line it is the opening quote of that line's cell, which closes nothing.
    if (this.lines > 1) return this.#notClosed();
    this.problem = 'there is text between a closing quote and the next cell';
    return behind;
  }

  /** The row is the line on which it begins. */
  #notClosed(): number {
    this.problem = 'a quote is not closed';
    this.unclosed = true;
    this.lines = 1;
    return this.#rowStart;
  }

  #add(from: number, to: number, doubled: number): void {
    const { row } = this;
    const { count } = row;
    if (count >= MAX_COLUMNS) {
      this.problem = `it has more than ${MAX_COLUMNS} cells`;
      return;
    }
    row.starts[count] = from;
    row.ends[count] = to;
    row.doubled[count] = doubled;
    row.count = count + 1;
  }

  /** Behind the line break at `at`. */
  #behindBreak(buffer: Buffer, at: number, end: number, final: boolean): number {
    if (buffer[at] === LF) return at + 1;
    if (this.#crOnly) return at + 1;
    if (at + 1 < end) return at + 2;
    return final ? at + 1 : INCOMPLETE;
  }

  /** A row that is broken ends with its line. */
  #skipLine(buffer: Buffer, from: number, end: number, final: boolean): number {
    const stop = this.#crOnly ? CR : LF;
    const found = buffer.subarray(0, end).indexOf(stop, from);
    this.row.to = found === -1 ? end : found;
    if (found !== -1) return found + 1;
    return final ? end : INCOMPLETE;
  }
}
