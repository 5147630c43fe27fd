import { describe, expect, it } from 'vitest';
import { type CdcEnvelope, readEnvelope, UNAVAILABLE_VALUE } from './envelope.ts';

interface Row {
  id: number;
  name: string | null;
  tags: (string | null)[] | null;
}

const row: Row = { id: 1, name: 'Ada', tags: ['a'] };

const nowhere = { lsn: null, sequence: null, file: null, pos: null, row: null };

function envelope(changes: Partial<CdcEnvelope<Row>>): CdcEnvelope<Row> {
  return {
    before: null,
    after: row,
    source: { ts_ms: 1_000, snapshot: 'false', table: 'contacts', ...nowhere, lsn: 7n },
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
    const source = { ts_ms: 1_000, snapshot, table: 'contacts', ...nowhere, lsn: 7n };
    expect(readEnvelope(envelope({ op, source }))).toMatchObject({ kind: 'change', isSnapshot });
  });

  it('orders rows of an incremental snapshot by the last change before them', () => {
    const source = { ts_ms: 1, snapshot: 'incremental', table: 'contacts', ...nowhere };
    const change = envelope({ op: 'r', source: { ...source, sequence: '["90","4294967301"]' } });
    expect(readEnvelope(change)).toMatchObject({ isSnapshot: true, version: 4_294_967_301n });
    const nothing = envelope({ op: 'r', source: { ...source, sequence: '[null,null]' } });
    expect(readEnvelope(nothing)).toMatchObject({ kind: 'refused' });
  });

  it('orders changes of a binlog by file, position and row', () => {
    const at = (file: string, pos: number, row: number | null) => {
      const source = { ts_ms: 1, snapshot: null, table: 'contacts', ...nowhere, file, pos, row };
      const change = readEnvelope(envelope({ source }));
      return change?.kind === 'change' ? change.version : undefined;
    };
    const inOrder = [
      at('binlog.000001', 4, null),
      at('binlog.000001', 4, 1),
      at('binlog.000001', 5, 0),
      at('binlog.000001', 4_294_967_295, 2_047),
      at('binlog.000002', 4, 0),
      at('a.b-bin.1048575', 4_294_967_295, 9_999),
    ].map((version) => version ?? -1n);
    expect(inOrder).toEqual(inOrder.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(new Set(inOrder).size).toBe(inOrder.length);
    expect(inOrder.at(-1)).toBe(2n ** 63n - 1n);
    for (const file of ['binlog', 'binlog.1048576', 'binlog.x'])
      expect(at(file, 4, 0)).toBe(undefined);
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
    const source = { ts_ms: 1, snapshot: null, table: 'contacts', ...nowhere };
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
