import { describe, expect, it } from 'vitest';
import { TaskSlot } from './task-slot.ts';

describe('a slot', () => {
  it('is due at once when it is new, and when it may be opened again', () => {
    const slot = new TaskSlot(0);
    expect(slot.isDue(1)).toBe(true);
    slot.notBefore = 2;
    expect(slot.isDue(1)).toBe(false);
    expect(slot.isDue(2)).toBe(true);
  });

  it('is not due while it is opened, or runs', () => {
    const slot = new TaskSlot(0);
    slot.on('open');
    expect(slot.isDue(1)).toBe(false);
    slot.on('restored');
    expect(slot.isDue(1)).toBe(false);
  });

  it.each(['error', 'fence'] as const)(
    'is not due after an %s until it is said when: its task may still be closing',
    (event) => {
      const slot = new TaskSlot(0);
      slot.on('open');
      slot.on('restored');
      slot.fails(event);
      expect(slot.isDue(Date.now())).toBe(false);
      slot.notBefore = 5;
      expect(slot.isDue(4)).toBe(false);
      expect(slot.isDue(5)).toBe(true);
    },
  );
});
