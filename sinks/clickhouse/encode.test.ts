import { describe, expect, it } from 'vitest';
import { contactRecord } from '../fixtures.ts';
import { encoders } from './encode.ts';
import { deduplicationToken } from './sink.ts';
import { contactsTable, createTableSql, eventsTable, tableDifferences } from './tables.ts';

function cellsOf(record: ReturnType<typeof contactRecord>): Readonly<Record<string, unknown>> {
  const encoder = encoders.get(record.topic);
  const json = encoder?.encode(record).row?.json;
  if (encoder === undefined || json === undefined) throw new Error('not encoded');
  const cells: readonly unknown[] = JSON.parse(json);
  expect(cells).toHaveLength(encoder.table.columns.length);
  return Object.fromEntries(encoder.table.columns.map(({ name }, i) => [name, cells[i]]));
}

describe('clickhouse encoding', () => {
  it('puts each field of a contact into its column, versions as exact text', () => {
    const record = contactRecord('1', 2n ** 60n + 1n);
    expect(cellsOf(record)).toEqual({
      ...record.value,
      created_at: '2026-01-01 00:00:00.123',
      updated_at: '2026-01-01 00:00:01.456',
      version: '1152921504606846977',
      is_deleted: 0,
      _topic_partition: 0,
      _offset: String(record.offset),
    });
  });

  it('marks a deleted contact and clears the rest', () => {
    const cells = cellsOf(contactRecord('1', 9n, null));
    expect(cells).toMatchObject({
      id: '1',
      version: '9',
      is_deleted: 1,
      tenant_id: '',
      email: '',
      tags: [],
    });
    expect(cells['phone']).toBeNull();
  });

  it('refuses what the server would change silently', () => {
    const encode = encoders.get('contact.golden')?.encode;
    const limits = [
      { created_at: Date.UTC(1900, 0, 1) - 1 },
      { updated_at: Date.UTC(2300, 0, 1) },
      { score: 3.5e38 },
    ];
    for (const fields of limits) {
      expect(encode?.(contactRecord('1', 1n, fields)).error).toMatchObject({
        code: 'INVALID_RECORD',
      });
    }
    for (const fields of [
      { created_at: Date.UTC(1900, 0, 1) },
      { updated_at: Date.UTC(2300, 0, 1) - 1 },
    ]) {
      expect(encode?.(contactRecord('1', 1n, fields)).error).toBeUndefined();
    }
  });
});

describe('deduplication token', () => {
  const source = { topic: 'event.recorded', partition: 2 };
  const row = (offset: bigint, json = `[${offset}]`) => ({ offset, json });

  it('is the same for the same batch and names its range', () => {
    const rows = [row(5n), row(6n), row(9n)];
    expect(deduplicationToken(source, rows)).toBe(deduplicationToken(source, [...rows]));
    expect(deduplicationToken(source, rows)).toMatch(/^event\.recorded-2-5-9-/);
  });

  it('differs when the same range has other rows or other content', () => {
    const token = deduplicationToken(source, [row(5n), row(6n), row(9n)]);
    expect(deduplicationToken(source, [row(5n), row(7n), row(9n)])).not.toBe(token);
    expect(deduplicationToken(source, [row(5n), row(6n, '[0]'), row(9n)])).not.toBe(token);
    expect(deduplicationToken({ ...source, partition: 3 }, [row(5n), row(6n), row(9n)])).not.toBe(
      token,
    );
  });
});

describe('clickhouse tables', () => {
  const found = {
    engine: 'ReplacingMergeTree',
    engineFull: 'ReplacingMergeTree(version, is_deleted) ORDER BY id',
    sortingKey: 'id',
    columns: new Map(contactsTable.columns.map(({ name, type }) => [name, type])),
  };

  it('escapes comments and partitions events by month', () => {
    const sql = createTableSql('db', eventsTable);
    expect(sql).toContain("COMMENT 'The sender\\'s name for it'");
    expect(sql).toContain('PARTITION BY toYYYYMM(occurred_at)');
    expect(createTableSql('db', contactsTable)).not.toContain('PARTITION BY');
  });

  it('accepts its own table, replicated too, however the server prints the key', () => {
    expect(tableDifferences(contactsTable, found)).toEqual([]);
    expect(tableDifferences(contactsTable, { ...found, sortingKey: '(id)' })).toEqual([]);
    const engine = 'ReplicatedReplacingMergeTree';
    const engineFull = `${engine}('/p', '{replica}', version, is_deleted) ORDER BY id`;
    expect(tableDifferences(contactsTable, { ...found, engine, engineFull })).toEqual([]);
  });

  it('names another engine, other replacing columns, another key and other columns', () => {
    expect(tableDifferences(contactsTable, { ...found, engine: 'MergeTree' })).toHaveLength(1);
    const bad = {
      ...found,
      engineFull: 'ReplacingMergeTree(updated_at) ORDER BY id',
      sortingKey: 'tenant_id, id',
      columns: new Map([...found.columns, ['score', 'String']]),
    };
    bad.columns.delete('phone');
    expect(tableDifferences(contactsTable, bad)).toEqual([
      'its engine does not replace by version, is_deleted',
      'it is ordered by (tenant_id, id), not (id)',
      'no column phone',
      'score is String, not Nullable(Float32)',
    ]);
  });
});
