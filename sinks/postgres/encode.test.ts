import { describe, expect, it } from 'vitest';
import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import { type TableModel, tableModel } from '../fields.ts';
import { contactRecord } from '../fixtures.ts';
import { type Faults, TopicEncoder } from './encode.ts';
import { parametersOf } from './statements.ts';

const contacts = tableModel('contact.golden');
const counts = tableModel('metric.tenant.count');
const events = tableModel('event.recorded');
const limits = { maxRows: 1_000, maxBytes: 1_000_000 };

/** Elements of a binary array, as bytes; null where they are null. */
function elements(array: Buffer): (Buffer | null)[] {
  const count = array.readInt32BE(12);
  const found: (Buffer | null)[] = [];
  let at = 20;
  for (let i = 0; i < count; i += 1) {
    const size = array.readInt32BE(at);
    at += 4;
    found.push(size === -1 ? null : array.subarray(at, at + size));
    at += Math.max(size, 0);
  }
  expect(at).toBe(array.length);
  return found;
}

function encode(model: TableModel, records: readonly SinkRecord[], given = limits) {
  const faults: Faults = new Map();
  const encoder = new TopicEncoder(model);
  const rows = encoder.select(records, faults);
  const statements = encoder.encode(rows, given, faults);
  const names = parametersOf(model).map(({ name }) => name);
  const columns = (statement: number) =>
    Object.fromEntries(
      names.map((name, i) => [
        name,
        elements(statements[statement]?.parameters[i] ?? Buffer.alloc(0)),
      ]),
    );
  const errors = records.flatMap((one) => faults.get(one)?.message ?? []);
  return { rows, statements, columns, errors };
}

const record = (topic: string, value: Record<string, unknown> | null, key = 'k'): SinkRecord => ({
  ...{ topic, key, value, partition: 0, offset: 0n, timestamp: 0 },
  version: typeof value?.['version'] === 'bigint' ? value['version'] : 0n,
});
const count = (fields: Record<string, unknown>) =>
  record('metric.tenant.count', {
    ...{ tenant_id: 'a', window_start: 0, window_end: 1, count: 2, version: 1n },
    ...fields,
  });

describe('selection of the rows of a batch', () => {
  it('takes the newest version of each key, and of equal ones the first', () => {
    const first = contactRecord('a', 2n, { company: 'first' });
    const same = contactRecord('a', 2n, { company: 'second' });
    const newest = contactRecord('b', 3n, null);
    const { rows, errors } = encode(contacts, [first, contactRecord('b', 1n), same, newest]);
    expect(rows).toEqual([first, newest]);
    expect(errors).toEqual([]);
  });

  it('tells rows of a key of several fields apart', () => {
    const records = [
      count({ tenant_id: 'a', window_start: 11 }),
      count({ tenant_id: 'a1', window_start: 1 }),
      count({ tenant_id: 'a', window_start: 11, version: 2n }),
    ];
    expect(encode(counts, records).rows).toEqual([records[2], records[1]]);
  });

  it('keeps repeats of appended rows: the server drops them', () => {
    const event = record('event.recorded', {
      ...{ event_id: 'e', tenant_id: 't', source: 's', event_type: 'x', entity_id: 'y' },
      ...{ occurred_at: 1, received_at: 2, payload: '{}' },
    });
    expect(encode(events, [event, event]).rows).toHaveLength(2);
  });

  it('refuses what it cannot order or find again', () => {
    const wrong = [
      { ...contactRecord('a', 1n), key: 'b' },
      { ...contactRecord('a', 1n), key: '' },
      contactRecord('a', -1n),
      contactRecord('a', 2n ** 63n),
      contactRecord('a\0', 1n, null),
      { ...contactRecord('a', 1n), value: { id: 'a' } },
    ];
    for (const one of wrong) expect(encode(contacts, [one]).errors).toHaveLength(1);
    expect(encode(counts, [record('metric.tenant.count', null)]).errors).toEqual([
      expect.stringContaining('tombstone'),
    ]);
    expect(encode(counts, [count({ version: -1n })]).errors).toHaveLength(1);
  });
});

describe('encoding of a batch', () => {
  it('makes one array per column, deleted rows with key, version and mark alone', () => {
    const columns = encode(contacts, [
      contactRecord('Zoë', 5n, { tags: ['a"b', 'c\\d', ''], score: null }),
      contactRecord('gone', 2n ** 62n, null),
    ]).columns(0);
    const { id, version, deleted, tags, created_at, score, ...rest } = columns;
    expect(id?.map(String)).toEqual(['Zoë', 'gone']);
    expect(version?.map((bytes) => bytes?.readBigInt64BE())).toEqual([5n, 2n ** 62n]);
    expect(deleted?.map((bytes) => bytes?.[0])).toEqual([0, 1]);
    expect(String(tags?.[0])).toBe('{"a\\"b","c\\\\d",""}');
    expect(score).toEqual([null, null]);
    // Microseconds since 2000.
    expect(created_at?.[0]?.readBigInt64BE()).toBe(
      (1_767_225_600_123n - 946_684_800_000n) * 1_000n,
    );
    for (const column of [...Object.values(rest), tags, created_at]) {
      expect(column?.[1]).toBeNull();
      expect(column?.[0]).not.toBeNull();
    }
  });

  it('names every record and its first field that has no form in the table', () => {
    const errors = encode(contacts, [
      contactRecord('1', 1n, { company: 'a\0' }),
      contactRecord('2', 1n),
      contactRecord('3', 1n, { email: 'x'.repeat(100).concat('\ud800') }),
      contactRecord('4', 1n, { score: 1e300 }),
      contactRecord('5', 1n, { tags: ['\0'] }),
      contactRecord('6', 1n, { created_at: 0.5 }),
      { ...contactRecord('7', 1n), value: { id: '7', version: 1n } },
    ]).errors;
    const names = [/company.*U\+0000/, /email.*surrogate/, /score.*real/, /tags.*U\+0000/];
    expect(errors).toHaveLength(6);
    [...names, /created_at is no timestamp/, /tenant_id is missing/].forEach((name, i) => {
      expect(errors[i]).toMatch(name);
    });
  });

  it('divides a batch by rows and by bytes, and keeps its order', () => {
    const records = Array.from({ length: 25 }, (_, i) =>
      contactRecord(`${i}`, 1n, { company: 'x'.repeat(i === 7 ? 5_000 : 10) }),
    );
    const { statements, columns } = encode(contacts, records, { maxRows: 10, maxBytes: 2_500 });
    expect(statements.length).toBeGreaterThan(5);
    const ids = statements.flatMap((_, i) => columns(i)['id']?.map(String) ?? []);
    expect(ids).toEqual(records.map(({ key }) => key));
  });
});
