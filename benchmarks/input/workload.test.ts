import { describe, expect, it } from 'vitest';
import { readerType } from '../../schemas/avro.ts';
import { createKeys, WebhookEncoder } from './encoder.ts';
import { GRACE_MS, Truth, WINDOW_MS, windowKey } from './truth.ts';
import {
  EVENT_TYPES,
  eventIdOf,
  eventOf,
  tenantOf,
  Workload,
  type WorkloadRecord,
} from './workload.ts';

const BASE_MS = Date.UTC(2026, 0, 1);
const options = { seed: 7, baseMs: BASE_MS, stepMs: 4 / 3 };

function take(records: number, seed = 7): WorkloadRecord[] {
  const workload = new Workload({ ...options, seed });
  return Array.from({ length: records }, () => ({ ...workload.next() }));
}

describe('Workload', () => {
  const records = take(100_000);

  it('is the same for a seed, and another for another', () => {
    expect(take(1_000)).toEqual(records.slice(0, 1_000));
    expect(take(1_000, 8)).not.toEqual(records.slice(0, 1_000));
  });

  it('repeats every tenth event, as it was, later', () => {
    const first = new Map<number, WorkloadRecord>();
    let duplicates = 0;
    for (const record of records.slice(0, 20_000)) {
      const before = first.get(record.event);
      expect(before !== undefined).toBe(record.isDuplicate);
      if (before === undefined) first.set(record.event, record);
      else {
        duplicates += 1;
        const { key, type, occurredAt } = before;
        expect(record).toMatchObject({ key, type, occurredAt });
        expect(record.arrivedAt).toBeGreaterThanOrEqual(before.arrivedAt);
      }
    }
    expect(duplicates / 20_000).toBeCloseTo(0.1, 2);
    expect([...first.keys()]).toEqual([...first.keys()].sort((a, b) => a - b));
  });

  it('is up to 5 s out of order, and 1 % is 2 minutes late', () => {
    const events = records.filter(({ isDuplicate }) => !isDuplicate);
    const behind = events.map(({ arrivedAt, occurredAt }) => arrivedAt - occurredAt);
    const late = behind.filter((ms) => ms > 100_000);
    expect(Math.max(...behind.filter((ms) => ms <= 100_000))).toBeLessThan(5_010);
    expect(Math.min(...behind)).toBeGreaterThanOrEqual(0);
    expect(Math.min(...late)).toBeGreaterThanOrEqual(120_000);
    expect(late.length / events.length).toBeCloseTo(0.01, 2);
  });

  it('uses all types alike', () => {
    const ofType = EVENT_TYPES.map((_, type) => records.filter((record) => record.type === type));
    for (const { length } of ofType) expect(length / records.length).toBeCloseTo(0.1, 2);
  });
});

describe('WebhookEncoder', () => {
  it('writes what the topic’s schema reads, of the size that the peers were measured with', () => {
    const encoder = new WebhookEncoder(42);
    const keys = createKeys(4);
    for (const record of take(100)) {
      const bytes = Buffer.from(encoder.encode(record));
      expect([bytes[0], bytes.readInt32BE(1)]).toEqual([0, 42]);
      expect(readerType('webhook.received').fromBuffer(bytes.subarray(5))).toMatchObject({
        event_id: eventIdOf(record.event),
        tenant_id: tenantOf(record.key),
        event_type: EVENT_TYPES[record.type],
        occurred_at: record.occurredAt,
        received_at: record.arrivedAt,
      });
      expect(bytes.length + (keys.bytes[record.key]?.length ?? 0)).toBeGreaterThan(165);
      expect(bytes.length + (keys.bytes[record.key]?.length ?? 0)).toBeLessThan(195);
    }
  });
});

describe('ids', () => {
  it.each(['ordered', 'scattered'] as const)('%s: tell their event, each its own', (ids) => {
    const workload = new Workload({ ...options, ids });
    const events = Array.from({ length: 10_000 }, (_, event) => event * 1_013);
    const made = events.map((event) => workload.idOf(event));
    expect(made.map(eventOf)).toEqual(events);
    const inOrder = made.filter((id, at) => at === 0 || id > (made[at - 1] ?? '')).length;
    if (ids === 'ordered') expect(inOrder).toBe(made.length);
    else expect(inOrder / made.length).toBeCloseTo(0.5, 1);
  });
});

describe('Truth', () => {
  it('counts what a plain reading of the rule counts', () => {
    const truth = new Truth(2);
    const newest = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const seen = new Set<number>();
    const due = new Map<string, number>();
    let kept = 0;
    for (const record of take(200_000)) {
      const partition = record.key % 2;
      truth.add(record, partition);
      if (EVENT_TYPES[record.type] !== 'session.ping') kept += 1;
      const before = newest[partition] ?? 0;
      newest[partition] = Math.max(before, record.occurredAt);
      if (seen.has(record.event)) continue;
      seen.add(record.event);
      const start = Math.floor(record.occurredAt / WINDOW_MS) * WINDOW_MS;
      if (start + WINDOW_MS + GRACE_MS <= before) continue;
      const window = windowKey(tenantOf(record.key), start);
      due.set(window, (due.get(window) ?? 0) + 1);
    }
    const sum = (counts: ReadonlyMap<string, number>) =>
      [...counts.values()].reduce((total, count) => total + count, 0);
    expect(new Map(truth.counts('due'))).toEqual(due);
    expect([truth.records, truth.events, truth.due]).toEqual([200_000, seen.size, sum(due)]);
    expect(sum(truth.counts('all'))).toBe(seen.size);
    expect(truth.events - truth.due).toBeGreaterThan(1_000);
    expect(truth.kept.reduce((total, times) => total + times, 0)).toBe(kept);
  });
});
