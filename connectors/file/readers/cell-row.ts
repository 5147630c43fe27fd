/** One row of a text of cells: where its cells are in a buffer. Reused for the next row. */
export class CellRow {
  buffer: Buffer = Buffer.alloc(0);
  /** Cells. */
  count = 0;
  /** From 1, headings not counted. */
  row = 0;
  /** Line on which it begins, from 1. */
  line = 0;
  /** The whole row in the buffer, without the line break. */
  from = 0;
  to = 0;
  readonly quote: number;
  /** First byte of each cell, within quotes. */
  readonly starts: Uint32Array;
  /** Behind the last byte of each cell. */
  readonly ends: Uint32Array;
  /** 1 where quotes within the cell are doubled. */
  readonly doubled: Uint8Array;

  /** @param quote its byte; -1 for none. */
  constructor(maxCells: number, quote: number) {
    this.starts = new Uint32Array(maxCells);
    this.ends = new Uint32Array(maxCells);
    this.doubled = new Uint8Array(maxCells);
    this.quote = quote;
  }

  /** A cell as text; empty where the row has no such cell. */
  text(index: number): string {
    if (index >= this.count) return '';
    const text = this.buffer.toString('utf8', this.starts[index], this.ends[index]);
    if (this.doubled[index] !== 1) return text;
    const quote = String.fromCharCode(this.quote);
    return text.replaceAll(quote + quote, quote);
  }

  /** All cells as text. */
  texts(): string[] {
    return Array.from({ length: this.count }, (_, i) => this.text(i));
  }
}
