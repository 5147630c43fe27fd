import { describe, expect, it } from 'vitest';
import { contactRecord } from '../fixtures.ts';
import { encodeContact, toColumns } from './encode.ts';
import { COLUMNS, tableDifferences, upsertSql } from './schema.ts';

const names = COLUMNS.map((column) => column.name);

function rowOf(record: ReturnType<typeof contactRecord>): Readonly<Record<string, unknown>> {
  const cells = encodeContact(record).row?.cells ?? [];
  expect(cells).toHaveLength(names.length);
  return Object.fromEntries(names.map((name, i) => [name, cells[i]]));
}

describe('postgres encoding', () => {
  it('puts each field of the contact into its column', () => {
    const record = contactRecord('1', 2n ** 60n + 1n);
    expect(rowOf(record)).toEqual({
      ...record.value,
      tags: '["new","vip"]',
      version: '1152921504606846977',
      deleted: false,
    });
  });

  it('keeps id and version of a deleted contact and clears the rest', () => {
    const row = rowOf(contactRecord('1', 9n, null));
    const { id, version, deleted, tags, ...rest } = row;
    expect({ id, version, deleted, tags }).toEqual({
      id: '1',
      version: '9',
      deleted: true,
      tags: '[]',
    });
    expect(new Set(Object.values(rest))).toEqual(new Set([null]));
  });

  it('refuses the NUL character, in values and in the key of a tombstone', () => {
    expect(encodeContact(contactRecord('1', 1n, { company: 'a\0' })).error?.message).toMatch(
      /company.*U\+0000/,
    );
    expect(encodeContact(contactRecord('a\0', 1n, null)).error?.message).toMatch(/key.*U\+0000/);
  });

  it('turns rows into one array per column', () => {
    const rows = [contactRecord('1', 1n), contactRecord('2', 2n, null)].flatMap(
      (record) => encodeContact(record).row ?? [],
    );
    const columns = toColumns(rows, names.length);
    expect(columns).toHaveLength(names.length);
    expect(columns[0]).toEqual(['1', '2']);
    expect(columns.at(-1)).toEqual([false, true]);
  });
});

describe('postgres schema', () => {
  const good = COLUMNS.map(({ name, type }) => ({
    name,
    type,
    required: false,
    unique: name === 'id',
  }));

  it('quotes names and guards the update by version', () => {
    const sql = upsertSql('it"s');
    expect(sql).toContain('INSERT INTO "it""s"."contacts_all"');
    expect(sql).toMatch(/WHERE t\.version < excluded\.version$/);
  });

  it('accepts its own table, and more columns if they may be left out', () => {
    expect(tableDifferences(good)).toEqual([]);
    const extra = { name: 'note', type: 'text', required: false, unique: false };
    expect(tableDifferences([...good, extra])).toEqual([]);
  });

  it('names what is missing, of another type, not unique, or in the way', () => {
    const bad = good
      .filter(({ name }) => name !== 'email')
      .map((column) => ({
        ...column,
        type: column.name === 'score' ? 'text' : column.type,
        unique: false,
      }));
    bad.push({ name: 'owner', type: 'text', required: true, unique: false });
    expect(tableDifferences(bad)).toEqual([
      'no column email',
      'score is text, not real',
      'id is not unique',
      'extra column owner has neither a default nor may it be null',
    ]);
  });
});
