import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Watermarks } from './watermarks.ts';

describe('Watermarks', () => {
  it('are the minimum over channels, and unknown until each has one', () => {
    const watermarks = new Watermarks(['a', 'b']);
    expect(watermarks.current).toBe(Number.NEGATIVE_INFINITY);
    expect(watermarks.advance(0, 10)).toBe(false);
    expect(watermarks.advance(1, 5)).toBe(true);
    expect(watermarks.current).toBe(5);
    watermarks.advance(1, 20);
    expect(watermarks.current).toBe(10);
    expect([watermarks.of(0), watermarks.of(1)]).toEqual([10, 20]);
  });

  it('leave idle channels out, until all are idle', () => {
    const watermarks = new Watermarks(['a', 'b']);
    watermarks.advance(0, 10);
    watermarks.setIdle(1, true);
    expect([watermarks.current, watermarks.allIdle]).toEqual([10, false]);
    watermarks.setIdle(0, true);
    expect([watermarks.current, watermarks.allIdle]).toEqual([10, true]);
    watermarks.advance(0, 30);
    expect(watermarks.current).toBe(10);
    watermarks.advance(1, 20);
    expect(watermarks.current).toBe(20);
  });

  it('do not go back for a channel that wakes behind the others', () => {
    const watermarks = new Watermarks(['a', 'b']);
    watermarks.setIdle(1, true);
    watermarks.advance(0, 100);
    watermarks.setIdle(1, false);
    watermarks.advance(1, 5);
    expect([watermarks.current, watermarks.of(1)]).toEqual([100, 5]);
    watermarks.advance(0, 200);
    expect(watermarks.current).toBe(100);
    watermarks.advance(1, 150);
    expect(watermarks.current).toBe(150);
  });

  it('are told apart by whether they changed, and come back from bytes', () => {
    const watermarks = new Watermarks(['a', 'b']);
    expect(watermarks.takeChanged()).toBe(false);
    watermarks.advance(0, 10);
    watermarks.advance(1, -5.5);
    expect([watermarks.takeChanged(), watermarks.takeChanged()]).toEqual([true, false]);
    const restored = new Watermarks(['a', 'b']);
    restored.restore(watermarks.encode());
    expect([restored.current, restored.of(0), restored.of(1)]).toEqual([-5.5, 10, -5.5]);
    expect(restored.isIdle(0)).toBe(false);
  });

  it('come back to the channels of their names, when one was added and one is gone', () => {
    const watermarks = new Watermarks(['a', 'gone', 'é/1']);
    watermarks.advance(0, 10);
    watermarks.advance(1, 20);
    watermarks.advance(2, 30);
    const restored = new Watermarks(['added', 'a', 'é/1']);
    restored.restore(watermarks.encode());
    expect([0, 1, 2].map((i) => restored.of(i))).toEqual([Number.NEGATIVE_INFINITY, 10, 30]);
    // It is where it was, and waits for the new one.
    expect(restored.current).toBe(10);
    restored.advance(1, 40);
    expect(restored.current).toBe(10);
    restored.advance(0, 35);
    expect(restored.current).toBe(30);
  });

  it('never go back, and never pass a channel that is not idle, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ channel: fc.nat(3), to: fc.integer({ min: -5, max: 50 }) }),
      fc.record({ channel: fc.nat(3), idle: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const watermarks = new Watermarks(['a', 'b', 'c', 'd']);
        let last = Number.NEGATIVE_INFINITY;
        for (const action of steps) {
          const moved =
            'to' in action
              ? watermarks.advance(action.channel, action.to)
              : watermarks.setIdle(action.channel, action.idle);
          expect(watermarks.current > last).toBe(moved);
          const active = [0, 1, 2, 3].filter((i) => watermarks.allIdle || !watermarks.isIdle(i));
          const least = Math.min(...active.map((i) => watermarks.of(i)));
          expect(watermarks.current).toBe(Math.max(last, least));
          last = watermarks.current;
        }
      }),
    );
  });
});
