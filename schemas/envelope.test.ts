import { describe, expect, it } from 'vitest';
import { type CdcEnvelope, readEnvelope, UNAVAILABLE_VALUE } from './envelope.ts';

interface Row {
  id: number;
  name: string | null;
  tags: (string | null)[] | null;
}

const row: Row = { id: 1, name: 'Ada', tags: ['a'] };

function envelope(changes: Partial<CdcEnvelope<Row>>): CdcEnvelope<Row> {
  return {
    before: null,
    after: row,
    source: { ts_ms: 1_000, snapshot: 'false', table: 'contacts', lsn: 7n },
    op: 'c',
    ts_ms: 1_100,
    ...changes,
  };
}

describe('readEnvelope', () => {
  const base = { kind: 'change', tableName: 'contacts', version: 7n, tsMs: 1_000 };

  it('reads creates, updates and deletes', () => {
    const old = { ...row, name: 'Augusta' };
    expect(readEnvelope(envelope({}))).toEqual({
      ...base,
      op: 'c',
      isSnapshot: false,
      before: null,
      after: row,
    });
    expect(readEnvelope(envelope({ op: 'u', before: old }))).toMatchObject({
      op: 'u',
      before: old,
      after: row,
    });
    expect(readEnvelope(envelope({ op: 'd', before: old, after: null }))).toMatchObject({
      ...base,
      op: 'd',
      before: old,
      after: null,
    });
  });

  it.each([
    ['r', null, true],
    ['r', 'last', true],
    ['c', 'incremental', true],
    ['c', null, false],
    ['u', 'false', false],
  ])('op %s with the snapshot mark %s: from a snapshot is %s', (op, snapshot, isSnapshot) => {
    const source = { ts_ms: 1_000, snapshot, table: 'contacts', lsn: 7n };
    expect(readEnvelope(envelope({ op, source }))).toMatchObject({ kind: 'change', isSnapshot });
  });

  it('has nothing to say of tombstones, truncates and messages', () => {
    expect(readEnvelope(null)).toBeUndefined();
    expect(readEnvelope(envelope({ op: 't', after: null }))).toBeUndefined();
    expect(readEnvelope(envelope({ op: 'm', after: null }))).toBeUndefined();
  });

  it('takes a value that the log did not repeat from the old row', () => {
    const after = { ...row, name: UNAVAILABLE_VALUE, tags: [UNAVAILABLE_VALUE] };
    const change = readEnvelope(envelope({ op: 'u', before: row, after }));
    expect(change).toMatchObject({ kind: 'change', after: row });
  });

  it.each([
    ['without an old row', null],
    ['with an old row that lacks it too', { ...row, name: UNAVAILABLE_VALUE }],
  ])('refuses such a value %s', (_what, before) => {
    const after = { ...row, name: UNAVAILABLE_VALUE };
    expect(readEnvelope(envelope({ op: 'u', before, after }))).toMatchObject({
      kind: 'refused',
      error: { code: 'CDC_VALUE_UNAVAILABLE', message: expect.stringContaining('name') },
    });
  });

  it('refuses what it could not order or does not understand', () => {
    const source = { ts_ms: 1, snapshot: null, table: 'contacts', lsn: null };
    expect(readEnvelope(envelope({ source }))).toMatchObject({
      error: { code: 'CDC_LSN_MISSING' },
    });
    expect(readEnvelope(envelope({ op: 'x' }))).toMatchObject({
      error: { code: 'CDC_ENVELOPE_INVALID' },
    });
    expect(readEnvelope(envelope({ op: 'u', after: null }))).toMatchObject({
      error: { code: 'CDC_ENVELOPE_INVALID' },
    });
  });
});
