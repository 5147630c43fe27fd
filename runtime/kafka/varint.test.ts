import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sizeOfVarint, sizeOfVarlong, VarintReader, writeVarint, writeVarlong } from './varint.ts';

const buffer = Buffer.alloc(16);

describe('varints', () => {
  it('read back as written, in the size that was told', () => {
    const int = fc.oneof(
      fc.integer({ min: -(2 ** 30), max: 2 ** 30 }),
      fc.integer({ min: -70, max: 70 }),
    );
    fc.assert(
      fc.property(int, (value) => {
        const end = writeVarint(buffer, 0, value);
        expect(end).toBe(sizeOfVarint(value));
        const reader = new VarintReader(buffer);
        expect(reader.varint()).toBe(value);
        expect(reader.position).toBe(end);
        expect(new VarintReader(buffer).varlong()).toBe(value);
      }),
      { numRuns: 2_000 },
    );
  });

  it('hold numbers beyond 32 bits', () => {
    const long = fc.oneof(
      fc.integer({ min: -(2 ** 52), max: 2 ** 52 - 1 }),
      fc.integer({ min: 0, max: 52 }).map((bits) => 2 ** bits),
      fc.integer({ min: 0, max: 52 }).map((bits) => -(2 ** bits)),
    );
    fc.assert(
      fc.property(long, (value) => {
        const end = writeVarlong(buffer, 0, value);
        expect(end).toBe(sizeOfVarlong(value));
        expect(new VarintReader(buffer).varlong()).toBe(value);
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuse to read beyond the end, or for ever', () => {
    expect(() => new VarintReader(Buffer.from([0x80])).varint()).toThrow(RangeError);
    expect(() => new VarintReader(Buffer.from([0x80])).varlong()).toThrow(RangeError);
    expect(() => new VarintReader(Buffer.alloc(20, 0xff)).varint()).toThrow(RangeError);
    expect(() => new VarintReader(Buffer.alloc(20, 0xff)).varlong()).toThrow(RangeError);
  });
});
