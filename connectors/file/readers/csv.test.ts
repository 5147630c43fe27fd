import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { inferSchema, initParser } from 'udsv';
import { describe, expect, it } from 'vitest';
import { createCollector, readAll, type SeenRow, tempFile, windowOf } from '../fixtures.ts';
import { importMapSchema } from '../map.ts';
import { CsvRowScanner } from './csv.ts';
import { openReader, type ReadSettings } from './open-reader.ts';
import { FILE_START } from './reader.ts';

const settings = (change: object = {}): ReadSettings =>
  importMapSchema.parse({ source: 's', tenant: 't', key: ['k'], ...change });

async function read(content: string | Uint8Array, change: object = {}, name = 'x.csv') {
  const reader = await openReader(tempFile(name, content), name, settings(change));
  return { reader, ...(await readAll(reader)) };
}

const cellsOf = (rows: readonly SeenRow[]) =>
  rows.map((row) => ('cells' in row ? row.cells : 'broken' in row ? row.broken : ''));

const cell = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('', '"', 'a"b', 'x,y', 'line\nbreak', 'cr\r\nlf', '""', ';', 'é'),
);
const table = fc.integer({ min: 1, max: 5 }).chain((width) =>
  fc.array(fc.array(cell, { minLength: width, maxLength: width }), {
    minLength: 1,
    maxLength: 8,
  }),
);

/** RFC 4180: quotes where they are needed, and elsewhere when asked. */
function write(
  rows: readonly (readonly string[])[],
  delimiter: string,
  lineBreak: string,
  all: boolean,
) {
  const quoted = (text: string) =>
    all || /["\n\r]/.test(text) || text.includes(delimiter) || text === ''
      ? `"${text.replaceAll('"', '""')}"`
      : text;
  return rows.map((row) => row.map(quoted).join(delimiter) + lineBreak).join('');
}

describe('CSV in pieces', () => {
  it('has the cells that were written, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        table,
        fc.constantFrom(',', ';', '\t'),
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        fc.boolean(),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
        async (rows, delimiter, lineBreak, all, cut, sizes) => {
          const text = write(rows, delimiter, lineBreak, all);
          const bytes = Buffer.from(cut ? text.slice(0, -lineBreak.length) : text);
          const window = windowOf(bytes, sizes);
          const collector = createCollector();
          const dialect = { delimiter: delimiter.charCodeAt(0), quote: 0x22, crOnly: false };
          const reading = { visitor: collector, columns: rows[0]?.length ?? 0, pad: false };
          const scanner = new CsvRowScanner(window, dialect, reading, FILE_START);
          do {
            await window.fill();
            scanner.scan();
          } while (!window.ended || window.start < window.end);
          expect(cellsOf(collector.rows)).toEqual(rows);
          expect(scanner.position).toMatchObject({ rows: rows.length, bytes: bytes.length });
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('reads what another parser reads', async () => {
    await fc.assert(
      fc.asyncProperty(table, async (narrow) => {
        // The other one passes over a row of one empty cell.
        const rows = narrow.map((row) => [...row, 'end']);
        const width = rows[0]?.length ?? 0;
        const header = Array.from({ length: width }, (_, i) => `c${i}`);
        const text = write([header, ...rows], ',', '\n', true);
        const expected = initParser(
          inferSchema(text, { col: ',', row: '\n', encl: '"' }),
        ).stringArrs(text);
        const { rows: seen } = await read(text, { csv: { delimiter: ',' } });
        expect(cellsOf(seen)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  it('can be entered at every position it yields', async () => {
    const lines = Array.from(
      { length: 40_000 },
      (_, i) => `${i},"a ""quoted"" text\nof two lines ${i}"`,
    );
    const { reader, rows, positions } = await read(`n,text\n${lines.join('\n')}`);
    expect(rows).toHaveLength(40_000);
    expect(positions.length).toBeGreaterThan(1);
    for (const position of positions) {
      const again = await readAll(reader, position);
      expect(again.rows).toEqual(rows.slice(position.rows));
    }
  });
});

describe('what is detected', () => {
  it.each([
    ['comma', 'a,b\n1,2\n', ','],
    ['semicolon, with commas in numbers', 'a;b;c\n1,5;2;3\n2,5;3;4\n', ';'],
    ['tab', 'a\tb\n1\t2\n', 'tab'],
    ['bar', 'a|b\n1|2\n', '|'],
    ['one column', 'a\n1\n2\n', ','],
    ['quoted delimiters', '"a;x;y",b\n"1;;;",2\n', ','],
  ])('the delimiter: %s', async (_, text, name) => {
    const { reader } = await read(text);
    expect(reader.description).toContain(`delimiter ${name}`);
  });

  it.each([
    ['utf-8 with a byte order mark', Buffer.from('\ufeffnäme,b\nü,2\n'), 'utf-8'],
    ['utf-16le', Buffer.from('\ufeffnäme,b\nü,2\n', 'utf16le'), 'utf-16le'],
    ['utf-16be', Buffer.from('\ufeffnäme,b\nü,2\n', 'utf16le').swap16(), 'utf-16be'],
    ['utf-16le without a mark', Buffer.from('näme,b\nü,2\n', 'utf16le'), 'utf-16le'],
    ['windows-1252', Buffer.from('näme,b\nü,2\n', 'latin1'), 'windows-1252'],
    ['utf-8, gzip', gzipSync('näme,b\nü,2\n'), 'utf-8'],
  ])('the encoding: %s', async (_, bytes, encoding) => {
    const { reader, rows } = await read(bytes);
    expect(reader.columns).toEqual(['näme', 'b']);
    expect(reader.description).toContain(encoding);
    expect(cellsOf(rows)).toEqual([['ü', '2']]);
  });

  it('line breaks: CRLF, and CR alone', async () => {
    expect(cellsOf((await read('a,b\r\n1,2\r\n3,4')).rows)).toEqual([
      ['1', '2'],
      ['3', '4'],
    ]);
    expect(cellsOf((await read('a,b\r1,2\r3,4\r')).rows)).toEqual([
      ['1', '2'],
      ['3', '4'],
    ]);
  });

  it('headings: none, empty, twice, below other lines', async () => {
    expect((await read('1,2\n', { csv: { header: false } })).reader.columns).toEqual([
      'column 1',
      'column 2',
    ]);
    expect((await read('a,,a\n1,2,3\n')).reader.columns).toEqual(['a', 'column 2', 'a (2)']);
    const { reader, rows } = await read('Report\nof 2026\na,b\n1,2\n', { csv: { skipLines: 2 } });
    expect(reader.columns).toEqual(['a', 'b']);
    expect(rows).toEqual([{ row: 1, line: 4, cells: ['1', '2'] }]);
  });
});

describe('what is wrong with a row', () => {
  it('too few or too many cells; empty ones behind the last column do no harm', async () => {
    const { rows } = await read('a,b\n1\n1,2,3\n1,2,,\n\n4,5\n');
    expect(rows).toEqual([
      expect.objectContaining({
        row: 1,
        line: 2,
        broken: 'it has 1 cells, the headings 2',
        raw: '1',
      }),
      expect.objectContaining({ row: 2, line: 3, broken: 'it has 3 cells, the headings 2' }),
      expect.objectContaining({ row: 3, line: 4 }),
      expect.objectContaining({ row: 4, line: 6, cells: ['4', '5'] }),
    ]);
    expect(cellsOf((await read('a,b\n1\n', { csv: { ragged: 'pad' } })).rows)).toEqual([['1']]);
  });

  it('a quote that is not closed takes its own line only', async () => {
    const { rows } = await read('a,b\n1,"open\n2,x\n3,"y"z\n4,ok');
    expect(rows.map((row) => [row.row, row.line, 'broken' in row ? row.broken : 'ok'])).toEqual([
      [1, 2, 'a quote is not closed'],
      [2, 3, 'ok'],
      [3, 4, 'there is text between a closing quote and the next cell'],
      [4, 5, 'ok'],
    ]);
  });

  it('bytes that are not UTF-8, behind the sample', async () => {
    const text = Buffer.concat([
      Buffer.from(`a,b\n${'1,x\n'.repeat(30_000)}`),
      Buffer.from('2,\xe9\n', 'latin1'),
      Buffer.from('3,y\n'),
    ]);
    const { rows } = await read(text);
    expect(rows).toHaveLength(30_002);
    expect(rows.filter((row) => 'broken' in row).map(({ row }) => row)).toEqual([30_001]);
  });

  it('a line longer than a record may be, of which the rest is passed over', async () => {
    const { rows } = await read(`a,b\n1,${'x'.repeat(9_000_000)}\n2,y\n`);
    expect(rows.map((row) => [row.row, row.line, 'broken' in row])).toEqual([
      [1, 2, true],
      [2, 3, false],
    ]);
  });
});

describe('files that cannot be read', () => {
  it.each([
    ['cut off gzip', gzipSync(`a,b\n${'1,2\n'.repeat(50_000)}`).subarray(0, 200), 'FILE_TRUNCATED'],
    ['empty', '', 'FILE_EMPTY'],
    ['quotes everywhere', `a,b\n${'1,"x\n'.repeat(1_101)}`, 'FILE_MALFORMED'],
  ])('%s', async (_, content, code) => {
    await expect(read(content, { csv: { delimiter: ',' } })).rejects.toMatchObject({ code });
  });

  it('one that is not there', async () => {
    await expect(openReader('/nowhere/x.csv', 'x.csv', settings())).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    });
  });
});
