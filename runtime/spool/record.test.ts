import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSpooled, encodeSpooled } from './record.ts';

const bytes = fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array));

describe('a spooled record', () => {
  it('comes back as it was', () => {
    fc.assert(
      fc.property(
        fc.record({
          topic: fc.string({ minLength: 1 }),
          key: fc.option(bytes),
          value: fc.option(bytes),
          timestamp: fc.integer({ min: 0 }),
          headers: fc.dictionary(fc.string(), bytes, { maxKeys: 4 }),
        }),
        (record) => {
          const { headers, ...rest } = decodeSpooled(encodeSpooled(record, 0));
          expect({ ...rest, headers: { ...headers } }).toEqual({
            ...record,
            headers: { ...record.headers },
          });
        },
      ),
    );
  });

  it('has texts as UTF-8, and the time of its spooling where it has no own one', () => {
    const record = { topic: 't', key: 'é', value: null, headers: { h: 'ü' } };
    expect(decodeSpooled(encodeSpooled(record, 7))).toMatchObject({
      key: Buffer.from('é'),
      value: null,
      timestamp: 7,
      headers: { h: Buffer.from('ü') },
    });
  });

  it('of another version is refused', () => {
    expect(() => decodeSpooled(Buffer.from([9]))).toThrow(/version 9/);
  });
});
