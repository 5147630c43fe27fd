import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import exceljs from 'exceljs';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { readAll, tempFile } from '../fixtures.ts';
import { importMapSchema } from '../map.ts';
import { openReader } from './open-reader.ts';

const settings = (change: object = {}) =>
  importMapSchema.parse({ source: 's', tenant: 't', key: ['k'], ...change });

async function read(path: string, change: object = {}) {
  const reader = await openReader(path, path, settings(change));
  return { reader, ...(await readAll(reader)) };
}

type Rows = readonly (readonly exceljs.CellValue[])[];

async function workbook(sheets: Readonly<Record<string, Rows>>): Promise<string> {
  const book = new exceljs.Workbook();
  for (const [name, rows] of Object.entries(sheets)) {
    const sheet = book.addWorksheet(name);
    for (const row of rows) sheet.addRow([...row]);
    sheet.getColumn(3).numFmt = 'yyyy-mm-dd';
  }
  const path = join(mkdtempSync(join(tmpdir(), 'reachflow-file-')), 'x.xlsx');
  await book.xlsx.writeFile(path);
  return path;
}

const DAY = new Date(Date.UTC(2026, 4, 6));

describe('Excel', () => {
  it('has text, numbers, dates, results of formulas and labels of links; what failed has a reason', async () => {
    const path = await workbook({
      People: [
        ['id', 'name', 'born', 'sum', 'web'],
        [
          1,
          { richText: [{ text: 'A' }, { text: 'da' }] },
          DAY,
          { formula: 'A2*2', result: 2 },
          { text: 'site', hyperlink: 'http://x' },
        ],
        [],
        [2, 'Zoë', null, { formula: '1/0', result: { error: '#DIV/0!' } }, true],
      ],
    });
    const { reader, rows } = await read(path);
    expect(reader.columns).toEqual(['id', 'name', 'born', 'sum', 'web']);
    expect(reader.description).toBe('xlsx, sheet People');
    expect(rows).toEqual([
      { row: 1, line: 2, cells: ['1', 'Ada', DAY.toISOString(), '2', 'site'] },
      { row: 2, line: 4, cells: ['2', 'Zoë', '', '', 'true'] },
    ]);
  });

  it('reads the sheet and the headings that the map names, and goes on from a row', async () => {
    const many = Array.from({ length: 2_500 }, (_, i) => [i + 1, `n${i + 1}`]);
    const path = await workbook({ Cover: [['x']], Data: [['Report'], ['id', 'name'], ...many] });
    const { reader, rows, positions } = await read(path, { xlsx: { sheet: 'Data', headerRow: 2 } });
    expect(reader.columns).toEqual(['id', 'name']);
    expect(rows).toHaveLength(2_500);
    for (const position of positions)
      expect((await readAll(reader, position)).rows).toEqual(rows.slice(position.rows));
    await expect(read(path, { xlsx: { sheet: 'No' } })).rejects.toMatchObject({
      code: 'SHEET_UNKNOWN',
    });
  });

  it('says why it cannot be read: cut off, old, something else, larger than it seems', async () => {
    const path = await workbook({ S: [['id'], [1]] });
    const bytes = readFileSync(path);
    await expect(
      read(tempFile('x.xlsx', bytes.subarray(0, bytes.length / 2))),
    ).rejects.toMatchObject({ code: 'FILE_TRUNCATED' });
    const old = Buffer.from('d0cf11e0a1b11ae1', 'hex');
    await expect(read(tempFile('x.xls', old))).rejects.toMatchObject({ code: 'FILE_MALFORMED' });
    await expect(read(tempFile('x.xlsx', 'id,name\n'))).rejects.toMatchObject({
      code: 'FILE_MALFORMED',
    });
    // What the directory says of the sheet's size: more than is held or unpacked.
    const bomb = Buffer.from(bytes);
    const at = bomb.lastIndexOf('xl/worksheets/sheet1.xml') - 46;
    bomb.writeUInt32LE(1_000_000_000, at + 24);
    await expect(read(tempFile('x.xlsx', bomb))).rejects.toMatchObject({ code: 'FILE_LIMIT' });
  });
});

describe('Parquet', () => {
  const count = 30_000;
  const numbers = Array.from({ length: count }, (_, i) => i);
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: 'id', data: numbers.map(BigInt), type: 'INT64' },
      { name: 'name', data: numbers.map((n) => `n${n}`), type: 'STRING' },
      { name: 'at', data: numbers.map((n) => new Date(DAY.getTime() + n)), type: 'TIMESTAMP' },
    ],
    rowGroupSize: 12_000,
  });
  const path = tempFile('x.parquet', new Uint8Array(buffer));

  it('has all rows of all groups, and can be entered between any of its parts', async () => {
    const { reader, rows, positions } = await read(path);
    expect(reader.columns).toEqual(['id', 'name', 'at']);
    expect(rows).toHaveLength(count);
    expect(rows[12_345]).toEqual({
      row: 12_346,
      line: 0,
      cells: ['12345', 'n12345', new Date(DAY.getTime() + 12_345).toISOString()],
    });
    expect(positions.length).toBeGreaterThan(2);
    for (const position of positions)
      expect((await readAll(reader, position)).rows).toEqual(rows.slice(position.rows));
    const inside = await readAll(reader, { rows: 12_345, line: 0, bytes: 0 });
    expect(inside.rows).toEqual(rows.slice(12_345));
  });

  it('says why it cannot be read', async () => {
    const bytes = readFileSync(path);
    await expect(read(tempFile('x.parquet', bytes.subarray(0, 5_000)))).rejects.toMatchObject({
      code: 'FILE_TRUNCATED',
    });
    const broken = Buffer.from(bytes);
    broken.fill(0xff, broken.length - 200, broken.length - 8);
    await expect(read(tempFile('x.parquet', broken))).rejects.toMatchObject({
      code: 'FILE_MALFORMED',
    });
  });
});
