import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cursorEncoder, decodeCursor } from './cursor.ts';

describe('a cursor', () => {
  const offset = fc.oneof(fc.nat(300), fc.maxSafeNat());

  it('comes back as it was', () => {
    const encode = cursorEncoder('contact.golden');
    fc.assert(
      fc.property(fc.array(offset, { minLength: 1, maxLength: 200 }), (positions) => {
        expect(decodeCursor('contact.golden', encode(positions), positions.length)).toEqual(
          positions,
        );
      }),
    );
  });

  it('is none of another topic', () => {
    const cursor = cursorEncoder('contact.golden')([1, 2]);
    expect(decodeCursor('event.recorded', cursor, 2)).toBeUndefined();
  });

  it('begins at 0 in partitions that were added, and is none where some are gone', () => {
    const cursor = cursorEncoder('t')([7, 300]);
    expect(decodeCursor('t', cursor, 4)).toEqual([7, 300, 0, 0]);
    expect(decodeCursor('t', cursor, 1)).toBeUndefined();
  });

  it('is refused, not misread, where it was damaged', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (text) => {
        const found = decodeCursor('t', text, 3);
        expect(found === undefined || found.every(Number.isSafeInteger)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
    const cut = Buffer.from([
      1,
      ...Buffer.from(cursorEncoder('t')([300]), 'base64url').subarray(1, 4),
    ]);
    expect(decodeCursor('t', cut.toString('base64url'), 3)).toBeUndefined();
  });
});
