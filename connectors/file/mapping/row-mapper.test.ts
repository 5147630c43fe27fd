import { describe, expect, it } from 'vitest';
import { tempFile } from '../fixtures.ts';
import { generateMap, guessType } from '../generate-map.ts';
import { importMapSchema, parseImportMap } from '../map.ts';
import { previewFile, sampleFile } from '../sample.ts';
import { parseTime } from './time.ts';

const base = { source: 's', tenant: 'acme', key: ['id'] };

async function preview(text: string, map: object, name = 'x.csv') {
  const { rows } = await previewFile(
    tempFile(name, text),
    name,
    importMapSchema.parse({ ...base, ...map }),
    50,
  );
  return rows;
}

async function payloads(text: string, fields: object, name?: string) {
  const rows = await preview(text, { fields }, name);
  return rows.map((row) => ('payload' in row ? row.payload : row.reasons));
}

describe('a mapped row', () => {
  it('has each cell as the text it is: quotes, backslashes, control characters, other scripts', async () => {
    const text = 'id,t\n1,"say ""hi"" \\ é 😀"\n2,"a\nb\tc\u0001"\n3,\n';
    const expected = ['say "hi" \\ é 😀', 'a\nb\tc\u0001', null];
    expect(await payloads(text, { t: 't' })).toEqual(expected.map((t) => ({ t })));
    const all = await preview(text, {});
    expect(all.map((row) => ('payload' in row ? row.payload : row))).toEqual(
      expected.map((t, i) => ({ id: String(i + 1), t })),
    );
  });

  it.each([
    ['integer', '12', 12],
    ['integer', '-007', -7],
    ['integer', '1.5', /is no whole number/],
    ['number', '1.50', 1.5],
    ['number', '1e3', 1000],
    ['number', 'NaN', /is no number/],
    ['number', '1e999', /is no number/],
    ['boolean', 'Yes', true],
    ['boolean', '0', false],
    ['boolean', 'maybe', /is no yes or no/],
    ['timestamp', '2026-05-06 07:08:09', '2026-05-06T07:08:09.000Z'],
    ['timestamp', '2026-05-06T07:08:09.5+02:00', '2026-05-06T05:08:09.500Z'],
    ['timestamp', '1778051289', '2026-05-06T07:08:09.000Z'],
    ['timestamp', '2026-02-30', /is no timestamp/],
    ['date', '2026-05-06', '2026-05-06'],
    ['date', '2026-05-06T07:00:00Z', /it has a time of day/],
    ['email', ' a@example.com ', 'a@example.com'],
    ['email', 'a@', /is no e-mail address/],
    ['phone', '+49 (30) 123-4567', '+49301234567'],
    ['phone', '030 1234567', /is no E.164 phone number/],
    ['json', '{}', {}],
    ['json', '{', /is no JSON/],
    ['list', 'a; b;;c', ['a; b;;c']],
    ['string', ' x ', ' x '],
  ])('%s: %j', async (type, cell, expected) => {
    const [found] = await payloads(`id,v\n1,"${cell}"\n`, { v: { column: 'v', type } });
    if (expected instanceof RegExp) expect(found).toEqual([expect.stringMatching(expected)]);
    else expect(found).toEqual({ v: expected });
  });

  it('has every reason against it', async () => {
    const map = {
      tenant: { column: 'who' },
      occurredAt: { column: 'at' },
      fields: {
        mail: { column: 'mail', type: 'email', required: true },
        n: { column: 'n', type: 'integer' },
      },
    };
    const [row] = await preview('id,who,at,mail,n\n,a b,never,,x\n', map);
    expect(row).toMatchObject({
      reasons: [
        'who: "a b" is no tenant',
        'at: "never" is no timestamp',
        'id: it is empty, and part of the key',
        'mail: it is empty, and required',
        'n: "x" is no whole number',
      ],
    });
  });

  it('has its key, tenant and time', async () => {
    const map = {
      tenant: { column: 'who' },
      key: ['a', 'b'],
      occurredAt: { column: 'at', order: 'dmy' },
    };
    const [row] = await preview('who,a,b,at\nacme,"x""y",é,31.12.2026 10:00\n', map);
    expect(row).toMatchObject({ key: 'acme:x"y/é', occurredAt: '2026-12-31T10:00:00.000Z' });
  });

  it('of JSON keeps its values, finds them by pointer, and is unaltered without fields', async () => {
    const text = '{"id":1,"n":5,"deep":{"a/b":[1,{"c":true}]},"text":"x"}\n';
    const fields = {
      n: 'n',
      asText: { column: 'n', type: 'string' },
      c: '/deep/a~1b/1/c',
      none: '/deep/x/y',
      fixed: { value: { k: [1] } },
    };
    expect(await payloads(text, fields, 'x.ndjson')).toEqual([
      { n: 5, asText: '5', c: true, none: null, fixed: { k: [1] } },
    ]);
    const [row] = await preview(text, {}, 'x.ndjson');
    expect(row).toMatchObject({ key: 'acme:1', payload: JSON.parse(text) });
  });

  it('names every column that the file does not have', async () => {
    await expect(
      preview('id,a\n1,2\n', { key: ['nope'], fields: { x: 'gone' } }),
    ).rejects.toMatchObject({
      code: 'MAP_COLUMNS',
      message: 'the file has no column nope, gone',
    });
  });
});

describe('a map', () => {
  it('is refused with the path of all that is wrong', () => {
    const wrong = () =>
      parseImportMap(
        'source: Bad Name\ntenant: acme\nkey: []\nfieldz: {}\ncsv: {delimiter: ab}\n',
        'm.yaml',
      );
    expect(wrong).toThrow(/source: .*key: .*csv\.delimiter: .*fieldz/);
    expect(() => parseImportMap('a: [', 'm.yaml')).toThrow(
      expect.objectContaining({ code: 'MAP_INVALID' }),
    );
  });

  it('that is generated is valid, and takes the rows it was made from', async () => {
    const text =
      'Customer ID,Full Näme,E-Mail,Since,Zip\n1,Ada,a@example.com,2026-01-02,01234\n2,Zoë,b@example.com,2026-01-03,10115\n';
    const path = tempFile('x.csv', text);
    const sample = await sampleFile(path, 'x.csv', importMapSchema.parse(base), 100);
    const map = parseImportMap(generateMap(sample, 'contacts'), 'generated');
    expect(map.key).toEqual(['Customer ID']);
    const { rows } = await previewFile(path, 'x.csv', map, 5);
    expect(rows[0]).toMatchObject({
      payload: {
        customer_id: 1,
        full_name: 'Ada',
        e_mail: 'a@example.com',
        since: '2026-01-02',
        zip: '01234',
      },
    });
  });

  it('guesses no number where digits are a name', () => {
    expect(guessType(['01234', '10115'])).toBe('string');
    expect(guessType(['12', '', '-3'])).toBe('integer');
    expect(guessType(['', ''])).toBe('string');
  });
});

describe('times', () => {
  it.each([
    ['2026-13-01', 'ymd'],
    ['29.02.2026', 'dmy'],
    ['12/31/26', 'mdy'],
    ['2026-05-06T25:00:00Z', 'ymd'],
    ['tomorrow', 'ymd'],
  ] as const)('%s is none', (text, order) => {
    expect(parseTime(text, order)).toBeUndefined();
  });
});
