import { isUtf8 } from 'node:buffer';
import { ReachflowError } from '../../../runtime/errors.ts';
import { openText, type TextFile, truncated } from '../byte-source.ts';
import { ByteWindow } from '../byte-window.ts';
import { pointerParts } from '../mapping/pointer.ts';
import { INCOMPLETE } from './csv-scanner.ts';
import { ARRAY_END, ArraySeeker, type Element, nextElement } from './json-scanner.ts';
import { columnsOfObjects, handObject } from './objects.ts';
import {
  FILE_START,
  type FilePosition,
  MAX_ROW_BYTES,
  RAW_BYTES,
  type RowReader,
  type RowVisitor,
} from './reader.ts';

const SAMPLE_ROWS = 100;

/**
 * The objects of an array of a JSON document, one at a time.
 * @param pointer where the array is, RFC 6901; '' for the document itself.
 * @throws as `RowReader.read`.
 */
export async function openJsonArray(file: TextFile, pointer: string): Promise<RowReader> {
  const read = (from: FilePosition, visitor: RowVisitor) => readArray(file, pointer, from, visitor);
  const texts: string[] = [];
  const collect: RowVisitor = {
    cells: () => undefined,
    values: () => undefined,
    broken: () => undefined,
    object: (_place, _value, text) => {
      if (texts.length < SAMPLE_ROWS) texts.push(text.toString('utf8'));
    },
  };
  for await (const { rows } of read(FILE_START, collect)) if (rows > 0) break;
  return {
    kind: 'objects',
    columns: columnsOfObjects(texts),
    description: `json, ${file.detected.encoding}${file.gzip ? ', gzip' : ''}`,
    size: file.textBytes,
    read,
  };
}

async function* readArray(
  file: TextFile,
  pointer: string,
  from: FilePosition,
  visitor: RowVisitor,
): AsyncGenerator<FilePosition> {
  const source = await openText(file, from.bytes);
  const window = new ByteWindow(source, from.bytes, MAX_ROW_BYTES);
  const elements = new ElementScanner(file, window, visitor, from);
  try {
    if (from.bytes === 0) await seekArray(file, window, pointer);
    for (;;) {
      const isEnd = elements.scan();
      yield elements.position;
      if (isEnd) return;
      if (window.ended) throw truncated(file.path);
      await window.fill();
    }
  } finally {
    await source.close();
  }
}

/** Consumes what comes before the array's first element. */
async function seekArray(file: TextFile, window: ByteWindow, pointer: string): Promise<void> {
  const seeker = new ArraySeeker(pointerParts(pointer));
  for (;;) {
    await window.fill();
    const at = seeker.seek(window.buffer, window.start, window.end);
    if (seeker.problem !== undefined) throw noArray(file.path, seeker.problem);
    window.consumeTo(at === INCOMPLETE ? window.end : at);
    if (at !== INCOMPLETE) return;
    if (window.ended) throw truncated(file.path);
  }
}

/** Rows of the elements of a window; unlike other texts, an array has an end of its own. */
export class ElementScanner {
  readonly #file: TextFile;
  readonly #window: ByteWindow;
  readonly #visitor: RowVisitor;
  readonly #element: Element = { from: 0, to: 0, breaksBefore: 0, breaksWithin: 0 };
  #rows: number;
  #line: number;

  constructor(file: TextFile, window: ByteWindow, visitor: RowVisitor, from: FilePosition) {
    this.#file = file;
    this.#window = window;
    this.#visitor = visitor;
    this.#rows = from.rows;
    this.#line = from.line;
  }

  get position(): FilePosition {
    return { rows: this.#rows, line: this.#line, bytes: this.#window.consumed };
  }

  /** All elements that the window has as a whole. @returns whether the array has ended. */
  scan(): boolean {
    const window = this.#window;
    const { buffer, end } = window;
    for (;;) {
      const next = nextElement(buffer, window.start, end, this.#element);
      if (next === ARRAY_END) return true;
      if (next === INCOMPLETE) {
        if (window.full) throw tooLarge(this.#file.path, this.#rows + 1);
        return false;
      }
      this.#take(buffer.subarray(this.#element.from, this.#element.to));
      window.consumeTo(next);
    }
  }

  #take(text: Buffer): void {
    this.#rows += 1;
    const line = this.#line + this.#element.breaksBefore + 1;
    this.#line = line - 1 + this.#element.breaksWithin;
    const place = { row: this.#rows, line };
    if (isUtf8(text)) {
      handObject(this.#visitor, place, text);
      return;
    }
    const raw = text.toString('utf8', 0, RAW_BYTES);
    this.#visitor.broken(place, 'it is not UTF-8: name the encoding in the map', raw);
  }
}

function noArray(path: string, problem: string): ReachflowError {
  return new ReachflowError(`${path} cannot be imported: ${problem}`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'json.pointer of the map says where the array of objects is; one object a line is format ndjson.',
  });
}

function tooLarge(path: string, row: number): ReachflowError {
  return new ReachflowError(
    `row ${row} of ${path} is larger than ${MAX_ROW_BYTES} bytes, or never ends`,
    {
      code: 'FILE_LIMIT',
      domain: 'user',
      hint: 'Is a bracket or a quote of it not closed? Nothing after it can be found.',
    },
  );
}
