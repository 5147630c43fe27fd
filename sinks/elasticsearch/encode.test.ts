import { describe, expect, it } from 'vitest';
import { contactRecord } from '../fixtures.ts';
import { encodeContact } from './encode.ts';
import { contactsMapping } from './schema.ts';

describe('elasticsearch encoding', () => {
  it('writes the action and the document on two lines, versions digit by digit', () => {
    const record = contactRecord('a"\n1', 9_007_199_254_740_993n);
    const { row } = encodeContact(record);
    const [action, source, ...more] = row?.lines.split('\n') ?? [];
    expect(more).toEqual([]);
    expect(action).toBe(
      '{"index":{"_id":"a\\"\\n1","version":9007199254740993,"version_type":"external"}}',
    );
    expect(source).toMatch(/,"version":9007199254740993\}$/);
    const { version: _, ...fields } = { ...record.value };
    expect(JSON.parse(source ?? '')).toMatchObject(fields);
    expect(row?.bytes).toBe(Buffer.byteLength(row?.lines ?? ''));
  });

  it('turns a tombstone into a delete of that version', () => {
    const { row } = encodeContact(contactRecord('1', 12n, null));
    expect(row?.lines).toBe('{"delete":{"_id":"1","version":12,"version_type":"external"}}');
  });

  it('refuses a key of more than 512 bytes, as bytes', () => {
    expect(encodeContact(contactRecord('é'.repeat(256), 1n)).error).toBeUndefined();
    expect(encodeContact(contactRecord('é'.repeat(257), 1n)).error).toMatchObject({
      code: 'INVALID_RECORD',
    });
  });

  it('maps every field that it writes: the mapping is strict', () => {
    const { row } = encodeContact(contactRecord('1', 1n));
    const source = JSON.parse(row?.lines.split('\n')[1] ?? '');
    expect(Object.keys(source).sort()).toEqual(Object.keys(contactsMapping.properties).sort());
  });
});
