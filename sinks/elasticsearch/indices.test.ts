import { describe, expect, it } from 'vitest';
import { tableModel } from '../fields.ts';
import { dayOfIndex, indexFor, namesOf } from './indices.ts';
import { lifecyclePolicy } from './lifecycle.ts';
import { SHARD_BYTES, SHARD_DOCUMENTS, shardsFor } from './maintenance.ts';

const names = namesOf(tableModel('event.recorded'), 'p-');

describe('indices of days', () => {
  it('name the day, and are read back', () => {
    const time = Date.parse('2026-02-28T23:00:00Z');
    expect(indexFor(names, time, 90, time)).toBe('p-events-2026.02.28');
    expect(dayOfIndex('p-events-2026.02.28', names.alias)).toBe(Date.parse('2026-02-28'));
    for (const other of ['p-events-older', 'p-events-2026.02.28-1', 'q-events-2026.02.28']) {
      expect(dayOfIndex(other, names.alias)).toBeUndefined();
    }
  });

  it('get a shard for each 50 GB or 100 M documents', () => {
    expect(shardsFor({ bytes: 0, documents: 0 })).toBe(1);
    expect(shardsFor({ bytes: SHARD_BYTES, documents: SHARD_DOCUMENTS })).toBe(1);
    expect(shardsFor({ bytes: SHARD_BYTES + 1, documents: 5 })).toBe(2);
    expect(shardsFor({ bytes: 5, documents: 3 * SHARD_DOCUMENTS + 1 })).toBe(4);
    expect(shardsFor({ bytes: 1e18, documents: 0 })).toBe(64);
  });
});

describe('the lifecycle policy', () => {
  const ages = { warmAfterDays: 7, coldAfterDays: 30, retentionDays: 90 };

  it('is hot, warm from 7 days, cold from 30, gone at 90', () => {
    const { phases } = lifecyclePolicy(ages);
    const at = Object.entries(phases).map(([phase, value]) => [phase, value?.min_age]);
    expect(at).toEqual([
      ['hot', '0ms'],
      ['warm', '7d'],
      ['cold', '30d'],
      ['delete', '90d'],
    ]);
  });

  it('never makes a day read-only, or another index of it', () => {
    const text = JSON.stringify(lifecyclePolicy(ages));
    expect(text).not.toMatch(/readonly|shrink|rollover|searchable_snapshot|downsample/);
  });

  it('leaves out what would come after the end', () => {
    const { phases } = lifecyclePolicy({ ...ages, retentionDays: 20 });
    expect(Object.keys(phases)).toEqual(['hot', 'warm', 'delete']);
  });
});
