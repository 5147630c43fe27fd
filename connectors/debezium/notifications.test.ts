import { describe, expect, it } from 'vitest';
import { isFinal, snapshotStep } from './notifications.ts';

const notification = (type: string, data: Record<string, string> | null) => ({
  id: 'a',
  aggregate_type: 'Incremental Snapshot',
  type,
  additional_data: data,
  timestamp: 5,
});

describe('snapshotStep', () => {
  it('reads how far a table is, and that it is done', () => {
    const chunk = { current_collection_in_progress: 's.t', chunk_index: '2', total_chunks: '9' };
    expect(snapshotStep(notification('IN_PROGRESS', chunk))).toMatchObject({
      kind: 'incremental',
      table: 's.t',
      chunk: 2,
      chunks: 9,
      rows: undefined,
    });
    const done = { scanned_collection: 's.t', total_rows_scanned: '40', status: 'SUCCEEDED' };
    const step = snapshotStep(notification('TABLE_SCAN_COMPLETED', done));
    expect(step).toMatchObject({ table: 's.t', rows: 40, status: 'SUCCEEDED' });
  });

  it.each([
    ['COMPLETED', true],
    ['ABORTED', true],
    ['TABLE_SCAN_COMPLETED', false],
    ['PAUSED', false],
  ])('%s ends a snapshot: %s', (type, ends) => {
    const step = snapshotStep(notification(type, null));
    expect(step !== undefined && isFinal(step)).toBe(ends);
  });

  it('passes over what is no snapshot', () => {
    const other = { ...notification('COMPLETED', null), aggregate_type: 'Streaming' };
    expect(snapshotStep(other)).toBeUndefined();
    expect(snapshotStep({ id: 1 })).toBeUndefined();
  });
});
