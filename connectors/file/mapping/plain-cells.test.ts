import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { convert } from './convert.ts';
import { JsonWriter } from './json-writer.ts';
import { NOT_PLAIN, plainForm, plainTime } from './plain-cells.ts';
import { parseTime } from './time.ts';

const types = ['integer', 'phone', 'email', 'date', 'timestamp'] as const;
const digits = fc.stringMatching(/^\d{0,17}$/);
const dates = fc
  .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
  .map((date) => date.toISOString());
/** Texts that are of a type, or nearly. */
const cells = fc.oneof(
  digits,
  digits.map((text) => `-${text}`),
  digits.map((text) => `+${text}`),
  fc.stringMatching(/^[a-zA-Z0-9.+_-]{1,6}@[a-z0-9-]{1,5}(\.[a-z0-9-]{1,4}){0,2}\.[a-z]{1,4}$/),
  fc.emailAddress(),
  dates,
  dates.map((text) => `${text.slice(0, 19)}Z`),
  dates.map((text) => text.slice(0, 10)),
  fc.stringMatching(/^20\d\d-[01]\d-[0-3]\d(T[0-2]\d:[0-6]\d:[0-6]\d(\.\d{3})?Z)?$/),
  fc.string({ maxLength: 12 }),
);

describe('a plain cell', () => {
  it.each(types)('%s: it is written as the conversion writes it, or left to that', (type) => {
    const conversion = { type, trim: false, separator: ',', order: 'ymd' } as const;
    let plain = 0;
    fc.assert(
      fc.property(cells, (text) => {
        const bytes = Buffer.from(`,${text},`);
        const form = plainForm(type, bytes, 1, bytes.length - 1);
        if (form === NOT_PLAIN) return;
        plain += 1;
        const writer = new JsonWriter();
        writer.plain(form, bytes, 1, bytes.length - 1);
        expect(convert(text, conversion)).toEqual({
          json: writer.buffer.toString('utf8', 0, writer.length),
        });
      }),
      { numRuns: 3_000 },
    );
    // About 47 of the e-mail addresses are; far fewer would mean that nothing was compared.
    expect(plain).toBeGreaterThan(10);
  });

  it('has the time that it says', () => {
    fc.assert(
      fc.property(cells, (text) => {
        const bytes = Buffer.from(text);
        const time = plainTime(bytes, 0, bytes.length);
        if (time !== undefined) expect(time).toBe(parseTime(text, 'ymd'));
      }),
      { numRuns: 3_000 },
    );
  });
});
