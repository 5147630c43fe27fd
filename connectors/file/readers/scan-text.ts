import { openText, type TextFile } from '../byte-source.ts';
import { ByteWindow } from '../byte-window.ts';
import { type FilePosition, MAX_ROW_BYTES } from './reader.ts';

/** Hands over the rows of a window. */
export interface TextScanner {
  /** Consumes all rows that the window has as a whole. */
  scan(): void;
  readonly position: FilePosition;
}

/** Reads a text from `from` to its end, through a scanner of its window. @throws as `RowReader.read`. */
export async function* scanText(
  file: TextFile,
  from: FilePosition,
  create: (window: ByteWindow) => TextScanner,
): AsyncGenerator<FilePosition> {
  const source = await openText(file, from.bytes);
  const window = new ByteWindow(source, from.bytes, MAX_ROW_BYTES);
  const scanner = create(window);
  try {
    do {
      await window.fill();
      scanner.scan();
      yield scanner.position;
    } while (!window.ended || window.start < window.end);
  } finally {
    await source.close();
  }
}
