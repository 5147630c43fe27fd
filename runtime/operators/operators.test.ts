import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TaskState } from '../state/store.ts';
import { Deduplicator, TtlMap, ttlStore } from './ttl-map.ts';
import { WindowCombiner, windowStart } from './tumbling.ts';

const spec = ttlStore<1>('seen');
const values = ttlStore<string>('values');

function deduplicator(ttlMs: number) {
  const state = new TaskState([spec]);
  return { state, dedup: new Deduplicator(state.store(spec), ttlMs) };
}

describe('Deduplicator', () => {
  it('passes the first sighting and no other within the TTL', () => {
    const { dedup } = deduplicator(1_000);
    expect([0, 1, 999].map((at) => dedup.isDuplicate('a', at))).toEqual([false, true, true]);
    expect(dedup.isDuplicate('b', 0)).toBe(false);
  });

  it('passes an id again once its TTL is over', () => {
    const { dedup } = deduplicator(1_000);
    dedup.isDuplicate('a', 0);
    expect(dedup.isDuplicate('a', 1_000)).toBe(false);
  });

  it('lets as many through as there are distinct ids, whatever the order', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), (ids) => {
        const { dedup } = deduplicator(1_000_000);
        const passed = ids.filter((id, at) => !dedup.isDuplicate(String(id), at));
        expect(passed.toSorted()).toEqual([...new Set(ids)].toSorted());
      }),
    );
  });

  it('knows after a restore what it knew before', () => {
    const { state, dedup } = deduplicator(1_000);
    dedup.isDuplicate('a', 0);
    const restored = new TaskState([spec]);
    for (const { key, value } of state.takeChanges()) restored.restore(key, value);
    expect(new Deduplicator(restored.store(spec), 1_000).isDuplicate('a', 10)).toBe(true);
  });
});

describe('TtlMap', () => {
  it('evicts what expired, as deletions in the changelog, and keeps the rest', () => {
    const state = new TaskState([values]);
    const map = new TtlMap(state.store(values), 100);
    for (const at of [0, 50, 120, 149]) map.set(`k${at}`, 'v', at);
    state.takeChanges();
    map.evict();
    expect(state.takeChanges()).toEqual([{ key: 'values/k0', value: null }]);
    expect(map.size).toBe(3);
  });
});

describe('eviction', () => {
  it('keeps up with any load: the store holds what is within the TTL, and little more', () => {
    const { dedup, state } = deduplicator(60_000);
    const perEpoch = 5_000;
    for (let epoch = 0; epoch < 120; epoch += 1) {
      for (let i = 0; i < perEpoch; i += 1) dedup.isDuplicate(`${epoch}/${i}`, epoch * 10_000);
      dedup.evict();
      state.takeChanges();
    }
    expect(state.store(spec).size).toBeLessThanOrEqual(8 * perEpoch);
  });

  it('is not held up by an id that was seen again after it expired', () => {
    const { dedup, state } = deduplicator(1_000);
    dedup.isDuplicate('again', 0);
    dedup.isDuplicate('b', 1);
    dedup.isDuplicate('again', 1_500);
    dedup.isDuplicate('c', 2_100);
    dedup.evict();
    expect([...state.store(spec).entries()].map(([id]) => id)).toEqual(['again', 'c']);
  });
});

describe('WindowCombiner', () => {
  it('aligns windows to the epoch, before 1970 too', () => {
    expect(windowStart(61_000, 60_000)).toBe(60_000);
    expect(windowStart(60_000, 60_000)).toBe(60_000);
    expect(windowStart(-1, 60_000)).toBe(-60_000);
  });

  it('adds up to what came in, per key and window', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.nat(300_000))), (events) => {
        const combiner = new WindowCombiner(60_000);
        for (const [key, at] of events) combiner.add(key, at);
        const deltas = combiner.take();
        expect(deltas.reduce((sum, { delta }) => sum + delta, 0)).toBe(events.length);
        for (const { key, windowStart: start, delta } of deltas) {
          const own = events.filter(([k, at]) => k === key && at >= start && at < start + 60_000);
          expect(own.length).toBe(delta);
        }
        expect(combiner.take()).toEqual([]);
      }),
    );
  });
});
