import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ByteSource } from './byte-source.ts';
import { ByteWindow } from './byte-window.ts';
import { textOf } from './mapping/convert.ts';
import type { FilePosition, RowReader, RowVisitor } from './readers/reader.ts';
import { FILE_START } from './readers/reader.ts';

/** A row as a test looks at it. */
export type SeenRow =
  | { readonly row: number; readonly line: number; readonly cells: readonly string[] }
  | { readonly row: number; readonly line: number; readonly value: unknown }
  | { readonly row: number; readonly line: number; readonly broken: string; readonly raw: string };

/** Keeps what it is given. */
export function createCollector(): RowVisitor & { readonly rows: SeenRow[] } {
  const rows: SeenRow[] = [];
  return {
    rows,
    cells: (row) => void rows.push({ row: row.row, line: row.line, cells: row.texts() }),
    values: ({ row, line }, values) =>
      void rows.push({ row, line, cells: values.map((value) => textOf(value)) }),
    object: ({ row, line }, value) => void rows.push({ row, line, value }),
    broken: ({ row, line }, broken, raw) => void rows.push({ row, line, broken, raw }),
  };
}

/** Every row of a reader, and where it could have been entered. */
export async function readAll(
  reader: RowReader,
  from: FilePosition = FILE_START,
): Promise<{ rows: SeenRow[]; positions: FilePosition[] }> {
  const collector = createCollector();
  const positions: FilePosition[] = [];
  for await (const position of reader.read(from, collector)) positions.push(position);
  return { rows: collector.rows, positions };
}

/** A text that comes in pieces of the given sizes, again and again. */
export function piecemeal(text: Buffer, sizes: readonly number[]): ByteSource {
  let at = 0;
  let turn = 0;
  return {
    read(into, to) {
      const size = sizes[turn % sizes.length] ?? 1;
      turn += 1;
      const copied = text.copy(into, to, at, Math.min(text.length, at + size));
      at += copied;
      return Promise.resolve(copied);
    },
    close: () => Promise.resolve(),
  };
}

/** A window of such a text. */
export function windowOf(text: Buffer, sizes: readonly number[], maxBytes = 1_000): ByteWindow {
  return new ByteWindow(piecemeal(text, sizes), 0, maxBytes);
}

/** Writes a file into a new directory; returns its path. */
export function tempFile(name: string, content: string | Uint8Array): string {
  const path = join(mkdtempSync(join(tmpdir(), 'reachflow-file-')), name);
  writeFileSync(path, content);
  return path;
}
