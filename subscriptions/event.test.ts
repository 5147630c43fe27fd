import { describe, expect, it } from 'vitest';
import { tenantOf } from '../schemas/tenant.ts';
import { toEvent, withCursor } from './event.ts';
import { RecentEvents } from './recent.ts';

function event(partition: number, offset: number, cursor = `c${offset}`) {
  const rest = () => `"offset":${offset},"text":"${'x'.repeat(100)}"}`;
  return toEvent({ partition, offset, tenant: 'acme', rest }, cursor);
}

describe('whose a value is', () => {
  it.each([
    [{ tenant_id: 'acme' }, 'acme'],
    [{ before: null, after: { tenant_id: 'acme' } }, 'acme'],
    [{ before: { tenant_id: 'acme' }, after: null }, 'acme'],
    [{ before: { tenant_id: 'acme' }, after: { tenant_id: 'acme' } }, 'acme'],
    [{ before: { tenant_id: 'acme' }, after: { tenant_id: 'other' } }, undefined],
    [{ before: { id: 1 }, after: { tenant_id: 'other' } }, undefined],
    [{ id: 1 }, undefined],
    [null, undefined],
    [{ tenant_id: 7 }, undefined],
  ])('%j is of %s', (value, tenant) => {
    expect(tenantOf(value)).toBe(tenant);
  });
});

describe('an event', () => {
  it('is JSON, with whichever cursor', () => {
    const one = event(0, 7);
    expect(JSON.parse(one.json.toString())).toMatchObject({ cursor: 'c7', offset: 7 });
    const other = withCursor(one, 'another');
    expect(other.cursor).toBe('another');
    expect(JSON.parse(other.json.toString())).toMatchObject({ cursor: 'another', offset: 7 });
    expect(withCursor(one, 'c7')).toBe(one);
  });
});

describe('the newest events', () => {
  it('are bounded by bytes, and say where they begin', () => {
    const recent = new RecentEvents(2_000, [10, 20]);
    expect([recent.first, recent.end, recent.start]).toEqual([0, 0, [10, 20]]);
    for (let i = 0; i < 100; i += 1) {
      recent.add(event(i % 2, (i % 2 === 0 ? 10 : 20) + Math.floor(i / 2)));
      expect(recent.bytes).toBeLessThanOrEqual(2_000);
    }
    expect(recent.end).toBe(100);
    expect(recent.first).toBeGreaterThan(90);
    const oldest = recent.at(recent.first);
    expect(recent.start[oldest.partition]).toBe(oldest.offset);
    expect(recent.at(99).offset).toBe(69);
    expect(() => recent.at(recent.first - 1)).toThrow(RangeError);
    expect(() => recent.at(100)).toThrow(RangeError);
  });

  it('hold one event that is larger than the bound', () => {
    const recent = new RecentEvents(10, [0]);
    recent.add(event(0, 0));
    recent.add(event(0, 1));
    expect([recent.first, recent.end, recent.start]).toEqual([1, 2, [1]]);
  });
});
