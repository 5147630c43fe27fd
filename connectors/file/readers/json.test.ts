import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCollector, readAll, type SeenRow, tempFile, windowOf } from '../fixtures.ts';
import { importMapSchema } from '../map.ts';
import { INCOMPLETE } from './csv-scanner.ts';
import { ARRAY_END, ArraySeeker, type Element, nextElement } from './json-scanner.ts';
import { LineScanner } from './ndjson.ts';
import { openReader } from './open-reader.ts';
import { FILE_START } from './reader.ts';

async function read(name: string, content: string | Uint8Array, change: object = {}) {
  const settings = importMapSchema.parse({ source: 's', tenant: 't', key: ['k'], ...change });
  const reader = await openReader(tempFile(name, content), name, settings);
  return { reader, ...(await readAll(reader)) };
}

const valuesOf = (rows: readonly SeenRow[]) =>
  rows.map((row) => ('value' in row ? row.value : 'broken' in row ? row.broken : ''));

/**
 * Without backslashes: after an object with a key that ends with one, V8 13.6 (Node 24.21) takes another key that has
 * a quote there for the same: JSON.parse('{"a":0,"k\\\\":1}') first, then '{"a":0,"k\\"":1}' gives the key `k\\`.
 */
const key = (text: string) => text.replaceAll('\\', '');
const json = fc.jsonValue({ maxDepth: 3, stringUnit: fc.constantFrom(...'ab"{}[],: \né😀') });

const objects = fc.array(
  fc.dictionary(
    fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('items', '}', '"', '\\')).map(key),
    json,
    { maxKeys: 4 },
  ),
  { maxLength: 6 },
);
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
const indent = fc.constantFrom(undefined, 1, '\t');

/** The texts of the array's elements, found piece by piece. */
async function elementsOf(text: Buffer, pieces: readonly number[], parts: readonly string[]) {
  const window = windowOf(text, pieces, 1_000_000);
  const seeker = new ArraySeeker(parts);
  for (let at = INCOMPLETE; at === INCOMPLETE; ) {
    await window.fill();
    at = seeker.seek(window.buffer, window.start, window.end);
    if (seeker.problem !== undefined) return seeker.problem;
    window.consumeTo(at === INCOMPLETE ? window.end : at);
    if (window.ended && at === INCOMPLETE) return 'cut off';
  }
  const element: Element = { from: 0, to: 0, breaksBefore: 0, breaksWithin: 0 };
  const found: unknown[] = [];
  for (;;) {
    const next = nextElement(window.buffer, window.start, window.end, element);
    if (next === ARRAY_END) return found;
    if (next === INCOMPLETE) {
      if (window.ended) return 'cut off';
      await window.fill();
      continue;
    }
    found.push(JSON.parse(window.buffer.toString('utf8', element.from, element.to)));
    window.consumeTo(next);
  }
}

describe('an array of JSON', () => {
  it('has the elements that JSON.parse finds, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(objects, indent, sizes, async (values, space, pieces) => {
        const text = Buffer.from(` ${JSON.stringify(values, null, space)} `);
        expect(await elementsOf(text, pieces, [])).toEqual(JSON.parse(JSON.stringify(values)));
      }),
      { numRuns: 500 },
    );
  });

  it('is found below other things, however they look', async () => {
    const before = fc.dictionary(fc.string({ maxLength: 5 }).map(key), json);
    await fc.assert(
      fc.asyncProperty(before, objects, indent, sizes, async (other, values, space, pieces) => {
        const data = { ...other, 'the "items"': values, after: [1] };
        const document = { ...other, items: { no: [2] }, data };
        const text = Buffer.from(JSON.stringify(document, null, space));
        expect(await elementsOf(text, pieces, ['data', 'the "items"'])).toEqual(
          JSON.parse(JSON.stringify(values)),
        );
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['{"a":1}', [], 'it is no array'],
    ['{"a":{"b":1}}', ['a'], 'what it has at /a is no array'],
    ['{"a":"[]"}', ['a'], 'what it has at /a is no array'],
    ['{"b":{"a":[]}}', ['a'], 'it has nothing at /a'],
    ['[{"a":[]}]', ['a'], 'what it has at /a is no array'],
    ['{"a":[{"x":1}', ['a'], 'cut off'],
    ['{"b":"', ['a'], 'cut off'],
  ])('is not found in %s at %j', async (text, parts, problem) => {
    expect(await elementsOf(Buffer.from(text), [3], parts)).toBe(problem);
  });

  it('says what is no object, with its line, and goes on', async () => {
    const { rows, reader } = await read('x.json', '[\n{"a":1},\n 5,\n{"a":,},\n{"a":\n2}]');
    expect(rows.map(({ row, line }) => [row, line])).toEqual([
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
    ]);
    expect(valuesOf(rows)).toEqual([
      { a: 1 },
      'it is no JSON object',
      expect.stringContaining('it is no JSON: '),
      { a: 2 },
    ]);
    expect(reader.columns).toEqual(['a']);
  });

  it('can be entered at every position it yields', async () => {
    const values = Array.from({ length: 30_000 }, (_, n) => ({
      n,
      text: 'x'.repeat(60),
      deep: { a: [n] },
    }));
    const document = JSON.stringify({ total: 2, data: { items: values } }, null, 1);
    const { reader, rows, positions } = await read('x.json', document, {
      json: { pointer: '/data/items' },
    });
    expect(valuesOf(rows)).toEqual(values);
    expect(positions.length).toBeGreaterThan(2);
    for (const position of positions)
      expect((await readAll(reader, position)).rows).toEqual(rows.slice(position.rows));
  });

  it.each([
    ['cut off', '[{"a":1},{"a"', 'FILE_TRUNCATED'],
    ['no array', '{"a":1}', 'FILE_MALFORMED'],
    ['an element that never ends', `[{"a":"${'x'.repeat(5_000_000)}`, 'FILE_LIMIT'],
  ])('cannot be read: %s', async (_, content, code) => {
    await expect(read('x.json', content)).rejects.toMatchObject({ code });
  });
});

describe('NDJSON', () => {
  it('has the objects that were written, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        objects,
        sizes,
        fc.constantFrom('\n', '\r\n'),
        async (values, pieces, lineBreak) => {
          const bytes = Buffer.from(values.map((value) => JSON.stringify(value)).join(lineBreak));
          const window = windowOf(bytes, pieces, 1_000_000);
          const collector = createCollector();
          const scanner = new LineScanner(window, collector, FILE_START);
          do {
            await window.fill();
            scanner.scan();
          } while (!window.ended || window.start < window.end);
          expect(valuesOf(collector.rows)).toEqual(JSON.parse(JSON.stringify(values)));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('says what is no object, passes over empty lines, and lines that are too long', async () => {
    const long = `{"a":"${'x'.repeat(6_000_000)}"}`;
    const { rows, reader } = await read('x.jsonl', `{"a":1}\n\n[1]\n{"b"\n${long}\n{"c":3}`);
    expect(reader.columns).toEqual(['a']);
    expect(rows.map(({ row, line }) => [row, line])).toEqual([
      [1, 1],
      [2, 3],
      [3, 4],
      [4, 5],
      [5, 6],
    ]);
    expect(valuesOf(rows)).toEqual([
      { a: 1 },
      'it is no JSON object',
      expect.stringContaining('it is no JSON'),
      'it is longer than 4194304 bytes',
      { c: 3 },
    ]);
  });

  it('is known by its content, also packed', async () => {
    const { reader, rows } = await read('export', gzipSync('{"a":1,"__proto__":{"b":2}}\n'));
    expect(reader.description).toBe('ndjson, utf-8, gzip');
    expect(JSON.stringify(valuesOf(rows))).toBe('[{"a":1,"__proto__":{"b":2}}]');
  });
});
