import { createReadStream } from 'node:fs';
import exceljs from 'exceljs';
import { ReachflowError } from '../../../runtime/errors.ts';
import { CellError } from '../mapping/convert.ts';
import { columnNames } from './columns.ts';
import { type FilePosition, MAX_COLUMNS, type RowReader, type RowVisitor } from './reader.ts';
import { readZipDirectory, type ZipEntry } from './zip-directory.ts';

export interface XlsxReaderOptions {
  readonly sheet?: string | undefined;
  /** Row that has the headings, from 1. */
  readonly headerRow: number;
}

const SHEET = /^xl\/worksheets\/sheet\d+[.]xml$/;
/** Everything but the sheets is held in memory: shared strings take about twice their text. */
const MAX_HELD_BYTES = 33_554_432;
const MAX_SHEET_BYTES = 4_294_967_294;
/** Sheets shrink ten- to fiftyfold. What shrinks more, and is large, was made to fill memory. */
const MAX_RATIO = 200;
const RATIO_FROM_BYTES = 16_777_216;
const YIELD_ROWS = 1_000;

/**
 * Rows of one sheet of an Excel workbook (ECMA-376), streamed. Dates are dates, a formula is its last result; rows
 * without any value are no rows.
 * @throws ReachflowError `FILE_TRUNCATED`, `FILE_MALFORMED`, `FILE_LIMIT`, `FILE_EMPTY`, `SHEET_UNKNOWN`.
 */
export async function openXlsx(path: string, options: XlsxReaderOptions): Promise<RowReader> {
  checkEntries(path, await readZipDirectory(path));
  const { columns, sheet } = await findHeadings(path, options);
  return {
    kind: 'values',
    columns,
    description: `xlsx, sheet ${sheet}`,
    size: undefined,
    read: (from, visitor) => readXlsx(path, options, columns.length, from, visitor),
  };
}

function checkEntries(path: string, entries: readonly ZipEntry[]): void {
  if (!entries.some(({ name }) => SHEET.test(name))) {
    throw new ReachflowError(`${path} is a ZIP file, but no Excel workbook`, {
      code: 'FILE_MALFORMED',
      domain: 'user',
      hint: 'Is it .xlsx? Unpack other ZIP files, and import what is in them.',
    });
  }
  for (const { name, bytes, compressed } of entries) {
    const most = SHEET.test(name) ? MAX_SHEET_BYTES : MAX_HELD_BYTES;
    const isRead = /^(xl\/[^/]+|xl\/worksheets\/.*|xl\/_rels\/.*)$/.test(name);
    if (isRead && bytes > most) throw tooLarge(path, `${name} has ${bytes} bytes, at most ${most}`);
    if (bytes > RATIO_FROM_BYTES && bytes > compressed * MAX_RATIO)
      throw tooLarge(path, `${name} is more than ${MAX_RATIO} times as large as it is packed`);
  }
}

/** Values of a row by column, from 0; undefined where the row has none. */
interface SheetRow {
  /** As the sheet counts, from 1. */
  readonly number: number;
  readonly values: readonly unknown[];
}

async function findHeadings(
  path: string,
  options: XlsxReaderOptions,
): Promise<{ columns: string[]; sheet: string }> {
  for await (const { row, sheet } of sheetRows(path, options)) {
    if (row.number < options.headerRow) continue;
    if (row.values.length > MAX_COLUMNS)
      throw tooLarge(path, `it has more than ${MAX_COLUMNS} columns`);
    return { columns: columnNames(row.values.map(headingOf)), sheet };
  }
  throw new ReachflowError(`${path} has no headings in row ${options.headerRow}`, {
    code: 'FILE_EMPTY',
    domain: 'user',
    hint: 'xlsx.sheet and xlsx.headerRow of the map say where they are.',
  });
}

function headingOf(value: unknown): string {
  return value instanceof Date
    ? value.toISOString()
    : value instanceof CellError
      ? ''
      : String(value ?? '');
}

async function* readXlsx(
  path: string,
  options: XlsxReaderOptions,
  columns: number,
  from: FilePosition,
  visitor: RowVisitor,
): AsyncGenerator<FilePosition> {
  let rows = 0;
  let line = 0;
  for await (const { row } of sheetRows(path, options)) {
    if (row.number <= options.headerRow) continue;
    rows += 1;
    line = row.number;
    // What was read before is read again, and passed over: a ZIP file cannot be entered in the middle.
    if (rows <= from.rows) continue;
    const place = { row: rows, line };
    if (row.values.length > columns) {
      const reason = `it has values in ${row.values.length} columns, the headings in ${columns}`;
      visitor.broken(place, reason, row.values.map(headingOf).join(', ').slice(0, 500));
    } else {
      visitor.values(place, row.values);
    }
    if (rows % YIELD_ROWS === 0) yield { rows, line, bytes: rows };
  }
  yield { rows: Math.max(rows, from.rows), line, bytes: rows };
}

async function* sheetRows(
  path: string,
  { sheet }: XlsxReaderOptions,
): AsyncGenerator<{ row: SheetRow; sheet: string }> {
  const input = createReadStream(path);
  const workbook = new exceljs.stream.xlsx.WorkbookReader(input, {
    worksheets: 'emit',
    sharedStrings: 'cache',
    hyperlinks: 'ignore',
    styles: 'cache',
    entries: 'ignore',
  });
  const names: string[] = [];
  try {
    for await (const worksheet of workbook) {
      const name = nameOf(worksheet);
      names.push(name);
      if (sheet !== undefined && name !== sheet) {
        for await (const _ of worksheet);
        continue;
      }
      for await (const row of worksheet) {
        const values = valuesOf(row);
        if (values.length > 0) yield { row: { number: row.number, values }, sheet: name };
      }
      return;
    }
  } catch (error) {
    throw error instanceof ReachflowError ? error : malformed(path, error);
  } finally {
    input.destroy();
  }
  throw new ReachflowError(`${path} has no sheet ${sheet ?? ''}`, {
    code: 'SHEET_UNKNOWN',
    domain: 'user',
    hint: `It has: ${names.join(', ')}.`,
  });
}

/** Its typings leave the name out. */
function nameOf(worksheet: object): string {
  return 'name' in worksheet ? String(worksheet.name) : '';
}

function valuesOf(row: exceljs.Row): unknown[] {
  const cells: unknown = row.values;
  if (!Array.isArray(cells)) return [];
  // Excel counts from 1.
  const values = Array.from(cells.slice(1), plainValue);
  while (values.length > 0 && (values.at(-1) === undefined || values.at(-1) === '')) values.pop();
  return values;
}

/** What people see in a cell: of a formula its result, of rich text the text, of a link its label. */
function plainValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date)
    return value ?? undefined;
  if ('error' in value) return new CellError(`the cell has the error ${String(value.error)}`);
  if ('richText' in value && Array.isArray(value.richText))
    return value.richText
      .map((part: { readonly text?: unknown }) => String(part.text ?? ''))
      .join('');
  if ('formula' in value || 'sharedFormula' in value) {
    if (!('result' in value) || value.result === undefined)
      return new CellError(
        'the cell has a formula without a result: open the file in Excel, and save it',
      );
    return plainValue(value.result);
  }
  if ('text' in value) return plainValue(value.text);
  return undefined;
}

function malformed(path: string, cause: unknown): ReachflowError {
  return new ReachflowError(`${path} cannot be read as an Excel workbook`, {
    code: 'FILE_MALFORMED',
    domain: 'user',
    hint: 'Open it in Excel, and save it again as .xlsx, without a password; or save it as CSV.',
    cause,
  });
}

function tooLarge(path: string, what: string): ReachflowError {
  return new ReachflowError(`${path} cannot be imported in bounded memory: ${what}`, {
    code: 'FILE_LIMIT',
    domain: 'user',
    hint: 'Save it as CSV.',
  });
}
