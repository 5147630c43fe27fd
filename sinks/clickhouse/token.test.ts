import { describe, expect, it } from 'vitest';
import type { SinkBatch } from '../../runtime/delivery/sink.ts';
import { contactRecord } from '../fixtures.ts';
import { batchToken, partToken } from './token.ts';

const record = (offset: bigint, timestamp = 5) => ({
  ...contactRecord('1', 1n),
  offset,
  timestamp,
});
const batch: SinkBatch = {
  topic: 'event.recorded',
  partition: 2,
  range: { start: 5n, end: 10n, epoch: 0n, origin: 'a' },
  records: [record(5n), record(6n), record(9n)],
};

describe('deduplication tokens', () => {
  it('name the range, and do not depend on what the records hold, nor on which are left of it', () => {
    const token = batchToken(batch);
    expect(token).toMatch(/^event\.recorded-2-5-10-/);
    const other = batch.records.map((one) => ({ ...one, value: null, version: 7n }));
    expect(batchToken({ ...batch, records: other })).toBe(token);
    expect(batchToken({ ...batch, records: batch.records.slice(1) })).toBe(token);
  });

  it('differ by partition, range, and what tells a topic made anew', () => {
    const tokens = [
      batch,
      { ...batch, partition: 3 },
      { ...batch, range: { start: 5n, end: 11n, epoch: 0n, origin: 'a' } },
      { ...batch, range: { start: 5n, end: 10n, epoch: 0n, origin: 'b' } },
      { ...batch, range: undefined, plan: 'a' },
      { ...batch, range: undefined, plan: 'b' },
    ].map(batchToken);
    expect(new Set(tokens).size).toBe(tokens.length);
  });

  it('of parts are the same for the same part, and the batch’s for all of it', () => {
    expect(partToken('t', batch, 0, 3)).toBe('t');
    expect(partToken('t', batch, 0, 1)).toBe('t/5-5');
    expect(partToken('t', batch, 1, 3)).toBe('t/6-9');
  });
});
