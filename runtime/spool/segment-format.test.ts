import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeGroup, type ParsedSegment, parseSegment } from './segment-format.ts';

const ID = Buffer.from('0123456789abcdef', 'hex');

interface Written {
  readonly bytes: Buffer;
  /** Payloads of each group, and where the group ends. */
  readonly groups: readonly { readonly end: number; readonly texts: readonly string[] }[];
}

function write(groups: readonly (readonly string[])[]): Written {
  const parts: Buffer[] = [];
  const ends: { end: number; texts: readonly string[] }[] = [];
  let index = 0;
  let end = 0;
  for (const texts of groups) {
    const payloads = texts.map((text) => Buffer.from(text));
    const group = encodeGroup(ID, index, payloads);
    parts.push(group);
    index += texts.length;
    end += group.length;
    ends.push({ end, texts });
  }
  return { bytes: Buffer.concat(parts), groups: ends };
}

function texts({ records }: ParsedSegment): string[] {
  return records.map(({ payload }) => payload.toString());
}

/** Payloads that hold what a group begins with, too: they must not be taken for one. */
const payload = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.constantFrom('', 'RFSG', encodeGroup(Buffer.alloc(8), 0, [Buffer.from('x')]).toString()),
);
const segment = fc
  .array(fc.array(payload, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 6 })
  .map(write);

describe('a segment', { timeout: 60_000 }, () => {
  it('gives back what was written, in order', () => {
    fc.assert(
      fc.property(segment, ({ bytes, groups }) => {
        const parsed = parseSegment(ID, bytes);
        const written = groups.flatMap((group) => group.texts);
        expect(texts(parsed)).toEqual(written);
        expect(parsed.records.map(({ index }) => index)).toEqual(written.map((_, i) => i));
        expect(parsed).toMatchObject({ endIndex: written.length, damage: [], tornBytes: 0 });
      }),
    );
  });

  it('cut off at any byte, keeps every group that was whole and reports no damage', () => {
    fc.assert(
      fc.property(segment, ({ bytes, groups }) => {
        for (let length = 0; length <= bytes.length; length += 1) {
          const parsed = parseSegment(ID, bytes.subarray(0, length));
          const whole = groups.filter(({ end }) => end <= length);
          expect(texts(parsed)).toEqual(whole.flatMap((group) => group.texts));
          expect(parsed.damage).toEqual([]);
          expect(parsed.tornBytes).toBe(length - (whole.at(-1)?.end ?? 0));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('with room allocated behind its end and never written, is whole', () => {
    const { bytes } = write([['a', 'b'], ['c']]);
    const parsed = parseSegment(ID, Buffer.concat([bytes, Buffer.alloc(4_096)]));
    expect(texts(parsed)).toEqual(['a', 'b', 'c']);
    expect(parsed).toMatchObject({ damage: [], tornBytes: 4_096 });
  });

  it('altered at any byte, reports it, delivers nothing that is wrong, and loses no other group', () => {
    fc.assert(
      fc.property(segment, fc.integer({ min: 1, max: 255 }), ({ bytes, groups }, flip) => {
        const all = groups.flatMap((group) => group.texts);
        for (let at = 0; at < bytes.length; at += 1) {
          const altered = Buffer.from(bytes);
          altered[at] = (altered[at] ?? 0) ^ flip;
          const parsed = parseSegment(ID, altered);
          expect(parsed.damage.length).toBeGreaterThan(0);
          expect(parsed.damage.some(({ from, to }) => from <= at && at < to)).toBe(true);
          for (const { index, payload: found } of parsed.records)
            expect(found.toString()).toBe(all[index]);
          const group = groups.findIndex(({ end }) => at < end);
          const others = groups.filter((_, i) => i !== group).flatMap((other) => other.texts);
          expect(parsed.records.length).toBeGreaterThanOrEqual(others.length);
          const indexes = parsed.records.map(({ index }) => index);
          expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b));
        }
      }),
      { numRuns: Number(process.env['REACHFLOW_TEST_SEGMENTS'] ?? 25) },
    );
  });

  it('loses one record of a group where one payload is altered', () => {
    const { bytes } = write([['first', 'second', 'third'], ['fourth']]);
    bytes[bytes.indexOf('second')] = 0;
    const parsed = parseSegment(ID, bytes);
    expect(texts(parsed)).toEqual(['first', 'third', 'fourth']);
    expect(parsed.records.map(({ index }) => index)).toEqual([0, 2, 3]);
    expect(parsed.endIndex).toBe(4);
  });

  it('takes no group of another segment for its own', () => {
    const { bytes } = write([['a']]);
    const parsed = parseSegment(Buffer.from('ffffffffffffffff', 'hex'), bytes);
    expect(parsed.records).toEqual([]);
    expect(parsed.damage).toEqual([{ from: 0, to: bytes.length }]);
  });

  it('finds groups again behind a part that is missing', () => {
    const { bytes, groups } = write([['a', 'b'], ['c'], ['d']]);
    const end = groups[0]?.end ?? 0;
    const parsed = parseSegment(
      ID,
      Buffer.concat([bytes.subarray(0, end - 5), bytes.subarray(end)]),
    );
    expect(texts(parsed)).toEqual(['a', 'c', 'd']);
    expect(parsed.damage).toHaveLength(1);
  });
});
