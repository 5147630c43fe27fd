import { describe, expect, it } from 'vitest';
import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import type { EventRecorded } from '../../schemas/types.ts';
import { fieldsOf, tableModel } from '../fields.ts';
import { contactRecord } from '../fixtures.ts';
import { createEncoder } from './encode.ts';
import { DAY_MS, namesOf } from './indices.ts';
import { propertiesOf } from './schema.ts';

const now = Date.parse('2026-11-21T12:00:00Z');

function encoderOf(topic: 'contact.golden' | 'event.recorded') {
  const model = tableModel(topic);
  return createEncoder(model, { names: namesOf(model, 'p-'), retentionDays: 90, now: () => now });
}

const contacts = encoderOf('contact.golden');
const events = encoderOf('event.recorded');

const event: EventRecorded = {
  event_id: 'hook:1',
  tenant_id: 'acme',
  source: 'webhook:hook',
  event_type: 'push',
  entity_id: '7',
  occurred_at: now,
  received_at: now,
  payload: '{}',
};

function eventRecord(fields: Partial<EventRecorded> | null = {}): SinkRecord {
  const value = fields === null ? null : { ...event, ...fields };
  return {
    ...{ topic: 'event.recorded', partition: 0, offset: 0n, timestamp: now },
    ...{ key: 'acme 7', value, version: 0n },
  };
}

describe('encoding of upserts', () => {
  it('writes the action and the document on two lines, versions digit by digit', () => {
    const record = contactRecord('a"\n1', 9_007_199_254_740_993n);
    const { row } = contacts(record);
    const [action, source, ...more] = row?.lines.split('\n') ?? [];
    expect(more).toEqual([]);
    expect(action).toBe(
      '{"index":{"_id":"a\\"\\n1","version":9007199254740993,"version_type":"external"}}',
    );
    expect(source).toMatch(/,"version":9007199254740993\}$/);
    const { version: _, ...fields } = { ...record.value };
    expect(JSON.parse(source ?? '')).toMatchObject(fields);
    expect(row?.bytes).toBe(Buffer.byteLength(row?.lines ?? '') + 1);
  });

  it('turns a tombstone into an emptied document of that version', () => {
    const { row } = contacts(contactRecord('1', 12n, null));
    expect(row?.lines.split('\n')).toEqual([
      '{"index":{"_id":"1","version":12,"version_type":"external"}}',
      `{"id":"1","deleted":true,"deleted_at":${now},"version":12}`,
    ]);
  });

  it('refuses a key of more than 512 bytes, as bytes', () => {
    for (const value of [{}, null]) {
      expect(contacts(contactRecord('é'.repeat(256), 1n, value)).error).toBeUndefined();
      expect(contacts(contactRecord('é'.repeat(257), 1n, value)).error).toMatchObject({
        code: 'INVALID_RECORD',
      });
    }
  });

  it('maps every field that it writes: the mapping is strict', () => {
    const properties = Object.keys(propertiesOf(tableModel('contact.golden')));
    for (const value of [{}, null]) {
      const { row } = contacts(contactRecord('1', 1n, value));
      const source = JSON.parse(row?.lines.split('\n')[1] ?? '');
      expect(properties).toEqual(expect.arrayContaining(Object.keys(source)));
    }
  });
});

describe('encoding of records that are written once', () => {
  const target = (record: SinkRecord) => {
    const { row } = events(record);
    return JSON.parse(row?.lines.split('\n')[0] ?? '{}');
  };

  it('creates a document in the index of the day of its event time', () => {
    const record = eventRecord({ occurred_at: Date.parse('2026-11-20T23:59:59.999Z') });
    expect(target(record)).toEqual({ create: { _index: 'p-events-2026.11.20', _id: 'hook:1' } });
    expect(JSON.parse(events(record).row?.lines.split('\n')[1] ?? '')).toEqual(record.value);
  });

  it('names the same index whenever the record comes, and whatever else it says', () => {
    const again = { ...eventRecord({ received_at: now + DAY_MS }), timestamp: 0, offset: 99n };
    expect(target(again)).toEqual(target(eventRecord()));
  });

  it('bounds the days: older ones share an index, later ones are refused', () => {
    const old = eventRecord({ occurred_at: now - 98 * DAY_MS });
    expect(target(old)).toMatchObject({ create: { _index: 'p-events-older' } });
    const kept = eventRecord({ occurred_at: now - 96 * DAY_MS });
    expect(target(kept)).toMatchObject({ create: { _index: 'p-events-2026.08.17' } });
    const late = events(eventRecord({ occurred_at: now + 8 * DAY_MS }));
    expect(late.error).toMatchObject({
      code: 'INVALID_RECORD',
      message: expect.stringContaining('occurred_at'),
    });
  });

  it('refuses a tombstone: nothing is deleted there', () => {
    expect(events(eventRecord(null)).error).toMatchObject({ code: 'INVALID_RECORD' });
  });
});

describe('encoding of types', () => {
  // Names of the event's fields, so that its value passes as one of the topic.
  const base = tableModel('event.recorded');
  const types = {
    big: { type: 'long', logicalType: 'bigint' },
    bigs: { type: 'array', items: { type: 'long', logicalType: 'bigint' } },
    day: { type: 'int', logicalType: 'date' },
    raw: ['null', 'bytes'],
    map: { type: 'map', values: ['null', 'double'] },
    nested: { type: 'record', name: 'N', fields: [{ name: 'a', type: 'long' }] },
  };
  const text = {
    ...{ type: 'record', name: 'R' },
    fields: Object.entries(types).map(([name, type]) => ({ name, type })),
  };
  const model = { ...base, fields: [...base.fields, ...fieldsOf(JSON.stringify(text))] };
  const encode = createEncoder(model, {
    ...{ names: namesOf(model, ''), retentionDays: 90, now: () => now },
  });
  const encoded = (fields: Readonly<Record<string, unknown>>) =>
    encode({ ...eventRecord(), value: { ...event, ...fields } });

  it('writes each in the form that its mapping takes', () => {
    const { row } = encoded({
      big: 2n ** 63n - 1n,
      bigs: [2n ** 60n + 1n],
      day: 20_000,
      raw: Buffer.from('hi'),
      map: { a: 1.5, b: null },
      nested: { a: 1 },
    });
    const document = row?.lines.split('\n')[1] ?? '';
    expect(document).toMatch(/,"big":9223372036854775807\}$/);
    expect(JSON.parse(document)).toMatchObject({
      bigs: ['1152921504606846977'],
      day: '2024-10-04',
      raw: 'aGk=',
      map: { a: 1.5, b: null },
      nested: '{"a":1}',
    });
  });

  it('names the field that would not arrive as it is', () => {
    for (const [name, value] of Object.entries({
      day: 1e9,
      map: { a: Number.NaN },
      nested: { a: 'half \ud83d' },
    })) {
      expect(encoded({ [name]: value }).error?.message).toContain(name);
    }
  });
});
