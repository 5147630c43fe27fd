import { isUtf8 } from 'node:buffer';
import { openText, readHead, type TextFile } from '../byte-source.ts';
import type { ByteWindow } from '../byte-window.ts';
import { SAMPLE_BYTES } from '../encoding.ts';
import { LF } from './csv-scanner.ts';
import { columnsOfObjects, handObject } from './objects.ts';
import {
  type FilePosition,
  MAX_ROW_BYTES,
  RAW_BYTES,
  type RowReader,
  type RowVisitor,
} from './reader.ts';
import { scanText, type TextScanner } from './scan-text.ts';

/** One JSON object a line (ndjson, JSON Lines). Empty lines are no rows. @throws as `RowReader.read`. */
export async function openNdjson(file: TextFile): Promise<RowReader> {
  const head = await readText(file);
  const lines = head.split('\n');
  // The last one may be cut off by the sample.
  if (lines.length > 1) lines.pop();
  return {
    kind: 'objects',
    columns: columnsOfObjects(lines),
    description: `ndjson, ${file.detected.encoding}${file.gzip ? ', gzip' : ''}`,
    size: file.textBytes,
    read: (from, visitor) =>
      scanText(file, from, (window) => new LineScanner(window, visitor, from)),
  };
}

async function readText(file: TextFile): Promise<string> {
  if (!file.gzip && file.textBytes !== undefined) {
    const head = await readHead(file.path, SAMPLE_BYTES, false);
    return head.toString('utf8', file.detected.bomBytes);
  }
  const source = await openText(file, 0);
  try {
    const into = Buffer.alloc(SAMPLE_BYTES);
    let length = 0;
    for (let read = -1; read !== 0 && length < SAMPLE_BYTES; length += read)
      read = await source.read(into, length);
    return into.toString('utf8', 0, length);
  } finally {
    await source.close();
  }
}

/** Rows of the lines of a window. */
export class LineScanner implements TextScanner {
  readonly #window: ByteWindow;
  readonly #visitor: RowVisitor;
  #rows: number;
  #line: number;
  #skipping = false;

  constructor(window: ByteWindow, visitor: RowVisitor, from: FilePosition) {
    this.#window = window;
    this.#visitor = visitor;
    this.#rows = from.rows;
    this.#line = from.line;
  }

  get position(): FilePosition {
    return { rows: this.#rows, line: this.#line, bytes: this.#window.consumed };
  }

  scan(): void {
    const window = this.#window;
    const { buffer, end, ended } = window;
    const text = buffer.subarray(0, end);
    let at = window.start;
    while (at < end) {
      const found = text.indexOf(LF, at);
      if (found === -1 && !ended && !window.full) break;
      const to = found === -1 ? end : found;
      if (!this.#skipping) this.#take(text.subarray(at, to));
      this.#skipping = found === -1 && !ended;
      at = found === -1 ? end : found + 1;
      window.consumeTo(at);
    }
  }

  #take(bytes: Buffer): void {
    this.#line += 1;
    const text = bytes.at(-1) === 13 ? bytes.subarray(0, -1) : bytes;
    if (isBlank(text)) return;
    this.#rows += 1;
    const place = { row: this.#rows, line: this.#line };
    if (bytes.length > MAX_ROW_BYTES) {
      this.#visitor.broken(place, `it is longer than ${MAX_ROW_BYTES} bytes`, shown(text));
    } else if (isUtf8(text)) {
      handObject(this.#visitor, place, text);
    } else {
      this.#visitor.broken(place, 'it is not UTF-8: name the encoding in the map', shown(text));
    }
  }
}

function shown(text: Buffer): string {
  return text.toString('utf8', 0, RAW_BYTES);
}

function isBlank(text: Buffer): boolean {
  for (const byte of text) if (byte !== 32 && byte !== 9) return false;
  return true;
}
