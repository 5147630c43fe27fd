import { describe, expect, it } from 'vitest';
import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import { fieldsOf } from '../fields.ts';
import { contactRecord } from '../fixtures.ts';
import { compileEncoder, type TableEncoder } from './encode.ts';
import { clickhouseTables, type Table, tableOf } from './tables.ts';

function tableFor(topic: string): Table {
  const table = clickhouseTables().get(topic);
  if (table === undefined) throw new Error(`no table of ${topic}`);
  return table;
}

function encoderOf(table: Table, changed: Readonly<Record<string, string>> = {}): TableEncoder {
  const types = table.columns.map(({ name, type }) => [name, changed[name] ?? type] as const);
  return compileEncoder(table, new Map(types));
}

const contacts = encoderOf(tableFor('contact.golden'));

function faultOf(encoder: TableEncoder, record: SinkRecord): string | undefined {
  const { bytes, errors } = encoder.encode([record]);
  const error = errors.get(0);
  if (error === undefined) return undefined;
  expect(error.code).toBe('INVALID_RECORD');
  expect(bytes).toHaveLength(0);
  return error.message;
}

/** A table of one field `f` besides its id, and its record. */
function withField(type: unknown, fields: Readonly<Record<string, unknown>> = {}) {
  const schema = {
    type: 'record',
    name: 'R',
    fields: [
      { name: 'id', type: 'string' },
      { name: 'f', type, ...fields },
    ],
  };
  const spec = {
    table: 'things',
    comment: 'Things.',
    stores: ['clickhouse'],
    kind: 'append',
    key: ['id'],
    deletes: false,
  } as const;
  return tableOf({ topic: 'event.recorded', spec, fields: fieldsOf(JSON.stringify(schema)) });
}

const recordOf = (f: unknown): SinkRecord => ({
  ...contactRecord('1', 1n),
  partition: 258,
  offset: 3n,
  value: { id: 'a', f },
});

/** What stands for `f`: behind the id, before the partition and the offset. */
function bytesOf(type: unknown, f: unknown): number[] {
  const { bytes, errors } = encoderOf(withField(type)).encode([recordOf(f)]);
  expect(errors.size).toBe(0);
  return [...bytes.subarray(2, -12)];
}

describe('RowBinary of ClickHouse (documentation, Formats, RowBinary)', () => {
  it('writes each kind of field', () => {
    expect(bytesOf('int', -2)).toEqual([0xfe, 0xff, 0xff, 0xff]);
    expect(bytesOf('long', -(2 ** 33))).toEqual([0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    expect(bytesOf({ type: 'long', logicalType: 'bigint' }, -(2n ** 62n))).toEqual([
      0, 0, 0, 0, 0, 0, 0, 0xc0,
    ]);
    expect(bytesOf('float', 1)).toEqual([0, 0, 0x80, 0x3f]);
    expect(bytesOf('double', 1)).toEqual([0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    expect(bytesOf('boolean', true)).toEqual([1]);
    expect(bytesOf('string', 'é')).toEqual([2, 0xc3, 0xa9]);
    expect(bytesOf('bytes', Buffer.of(0xff, 0))).toEqual([2, 0xff, 0]);
    expect(bytesOf({ type: 'long', logicalType: 'timestamp-millis' }, 258)).toEqual([
      2, 1, 0, 0, 0, 0, 0, 0,
    ]);
    expect(bytesOf({ type: 'int', logicalType: 'date' }, -1)).toEqual([0xff, 0xff, 0xff, 0xff]);
    expect(bytesOf({ type: 'enum', name: 'E', symbols: ['A'] }, 'A')).toEqual([1, 0x41]);
    expect(bytesOf({ type: 'record', name: 'N', fields: [] }, { x: 1n })).toEqual([
      9,
      ...Buffer.from('{"x":"1"}'),
    ]);
  });

  it('writes nullable fields, arrays and maps', () => {
    expect(bytesOf(['null', 'int'], null)).toEqual([1]);
    expect(bytesOf(['null', 'int'], 1)).toEqual([0, 1, 0, 0, 0]);
    expect(bytesOf({ type: 'array', items: ['null', 'string'] }, ['a', null])).toEqual([
      2, 0, 1, 0x61, 1,
    ]);
    expect(bytesOf({ type: 'map', values: 'boolean' }, { k: false })).toEqual([1, 1, 0x6b, 0]);
    expect(bytesOf(['null', { type: 'map', values: 'int' }], null)).toEqual([0]);
  });

  it('writes lengths of several bytes, short and long text alike', () => {
    for (const length of [0, 40, 41, 127, 128, 20_000]) {
      const text = 'x'.repeat(length);
      const head = length < 128 ? [length] : length === 128 ? [0x80, 1] : [0xa0, 0x9c, 1];
      expect(bytesOf('string', text)).toEqual([...head, ...Buffer.from(text)]);
    }
  });

  it('puts partition and offset behind the fields, names and types before all rows', () => {
    const encoder = encoderOf(withField('int'));
    const { bytes, ends } = encoder.encode([recordOf(1), recordOf(2)]);
    expect([...bytes.subarray(6, 18)]).toEqual([2, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    expect(ends).toEqual([18, 36]);
    const text = encoder.header.toString('latin1');
    expect(encoder.header[0]).toBe(4);
    expect(text).toMatch(/id.f.*_topic_partition.*_offset.*String.*Int32.*UInt32.*UInt64$/);
  });

  it('follows a column that was widened', () => {
    const encoder = encoderOf(withField('int'), { f: 'Nullable(Int64)' });
    const { bytes } = encoder.encode([recordOf(-1)]);
    expect([...bytes.subarray(2, -12)]).toEqual([0, ...Array.from({ length: 8 }, () => 0xff)]);
  });
});

describe('records that cannot be rows', () => {
  it('are left out, and named by field', () => {
    const { bytes, ends, errors } = contacts.encode([
      contactRecord('1', 1n),
      contactRecord('2', 1n, { score: 3.5e38 }),
      contactRecord('3', 1n),
    ]);
    expect([...errors.keys()]).toEqual([1]);
    expect(errors.get(1)?.message).toContain('score is no 32-bit float');
    expect(ends[1]).toBe(ends[0]);
    expect(ends[2]).toBe(bytes.length);
  });

  it('are those that the server would change silently', () => {
    for (const fields of [
      { created_at: Date.UTC(1900, 0, 1) - 1 },
      { updated_at: Date.UTC(2300, 0, 1) },
      { full_name: 'half \ud83d' },
      { tags: ['ok', 'half \ud83d'] },
    ]) {
      const [name] = Object.keys(fields);
      expect(faultOf(contacts, contactRecord('1', 1n, fields))).toContain(`${name} `);
    }
    for (const fields of [
      { created_at: Date.UTC(1900, 0, 1) },
      { updated_at: Date.UTC(2300, 0, 1) - 1 },
    ]) {
      expect(faultOf(contacts, contactRecord('1', 1n, fields))).toBeUndefined();
    }
  });

  it('are values of another type, and missing ones', () => {
    const cases: readonly (readonly [unknown, unknown])[] = [
      ['int', 2 ** 31],
      ['int', 'x'],
      ['long', 2 ** 53],
      ['long', 1.5],
      ['boolean', 1],
      ['string', null],
      ['bytes', 'x'],
      [{ type: 'array', items: 'int' }, {}],
      [{ type: 'map', values: 'int' }, []],
      [{ type: 'int', logicalType: 'date' }, 200_000],
      [{ type: 'record', name: 'N', fields: [] }, undefined],
    ];
    for (const [type, value] of cases) {
      expect(faultOf(encoderOf(withField(type)), recordOf(value))).toMatch(/f is /);
    }
  });

  it('are tombstones where nothing is deleted, and rows under another key', () => {
    const events = encoderOf(tableFor('event.recorded'));
    expect(faultOf(events, { ...recordOf(1), value: null })).toContain('tombstone');
    expect(faultOf(contacts, { ...contactRecord('1', 1n), key: '2' })).toContain('its id');
  });
});

describe('tombstones', () => {
  it('keep the key, the version and where they came from, and nothing else', () => {
    const { bytes, errors } = contacts.encode([{ ...contactRecord('1', 9n, null), offset: 7n }]);
    expect(errors.size).toBe(0);
    const empty = [
      ...[0, 0, 0], // tenant_id, full_name, email
      ...[1, 1, 1, 1, 1], // phone to industry: NULL
      ...[0, 1], // tags, score
      ...Array.from({ length: 16 }, () => 0), // created_at, updated_at
    ];
    const tail = [9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    expect([...bytes]).toEqual([1, 0x31, ...empty, ...tail]);
  });
});
