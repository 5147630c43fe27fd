import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gapBetween, readSegment, SEGMENT_BYTES, SegmentWriter } from './changelog.ts';

const STORES = [
  { name: 'orders', version: 1 },
  { name: 'zähler', version: 300 },
];

type Entry = readonly [store: number, key: string, value: string | undefined];

function segmentsOf(writer: SegmentWriter, epoch: number, entries: readonly Entry[]): Buffer[] {
  writer.begin(epoch);
  for (const [store, key, value] of entries) {
    const at = writer.reserve(store, key, value === undefined ? -1 : value.length, undefined);
    if (value !== undefined) writer.buffer.write(value, at, 'latin1');
  }
  return writer.finish();
}

function entriesOf(segment: Buffer): Entry[] {
  const entries: Entry[] = [];
  readSegment(segment, 'log@1').forEach((store, key, bytes, start, end) => {
    entries.push([store, key, start < 0 ? undefined : bytes.toString('latin1', start, end)]);
  });
  return entries;
}

describe('changelog segments', () => {
  const bytes = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  });
  const entry = fc.tuple(fc.nat(1), bytes, fc.option(bytes, { nil: undefined }));

  it('give back what was written, epoch after epoch', () => {
    const writer = new SegmentWriter(STORES);
    fc.assert(
      fc.property(fc.array(entry), fc.nat(1_000_000), (entries, epoch) => {
        const segments = segmentsOf(writer, epoch, entries);
        expect(segments.flatMap(entriesOf)).toEqual(entries);
        for (const segment of segments) {
          expect(readSegment(segment, 'log@1')).toMatchObject({ epoch, stores: STORES });
        }
      }),
    );
  });

  it('of a large epoch are several, none above the limit, numbered', () => {
    const entries = Array.from(
      { length: 30_000 },
      (_, index): Entry => [0, `key-${index}`, 'x'.repeat(50)],
    );
    const segments = segmentsOf(new SegmentWriter(STORES), 7, entries);
    expect(segments.length).toBeGreaterThan(3);
    expect(Math.max(...segments.map(({ length }) => length))).toBeLessThanOrEqual(SEGMENT_BYTES);
    expect(segments.map((segment) => readSegment(segment, 'log@1').part)).toEqual(
      segments.map((_, index) => index),
    );
    expect(segments.flatMap(entriesOf)).toEqual(entries);
  });

  it('take a large entry alone, and refuse one that no broker would take', () => {
    const writer = new SegmentWriter(STORES);
    const large: Entry = [0, 'large', 'x'.repeat(800_000)];
    const segments = segmentsOf(writer, 1, [[1, 'a', 'b'], large, [1, 'c', undefined]]);
    expect(segments.map(entriesOf)).toEqual([[[1, 'a', 'b']], [large], [[1, 'c', undefined]]]);
    expect(() => writer.reserve(0, 'larger', 900_001, undefined)).toThrow(
      expect.objectContaining({ code: 'STATE_VALUE_TOO_LARGE', domain: 'user' }),
    );
  });

  it('are none when nothing was written', () => {
    expect(segmentsOf(new SegmentWriter(STORES), 1, [])).toEqual([]);
  });

  it('tell where each value is', () => {
    const writer = new SegmentWriter(STORES);
    writer.begin(1);
    const placed = { bytes: undefined as Buffer | undefined, start: 0, end: 0 };
    writer.buffer.write('value', writer.reserve(0, 'key', 5, placed), 'latin1');
    const [segment] = writer.finish();
    expect(placed.bytes).toBe(segment);
    expect(placed.bytes?.toString('latin1', placed.start, placed.end)).toBe('value');
  });

  it('are refused when any byte has changed, or the end is missing', () => {
    const [segment = Buffer.alloc(0)] = segmentsOf(new SegmentWriter(STORES), 3, [
      [0, 'key', 'value'],
      [1, 'other', undefined],
    ]);
    const refused = expect.objectContaining({ code: 'CHANGELOG_CORRUPT' });
    for (let at = 0; at < segment.length; at += 1) {
      // The fourth byte is not used.
      if (at === 3) continue;
      const changed = Buffer.from(segment);
      changed.writeUInt8(changed.readUInt8(at) ^ 0x11, at);
      expect(() => readSegment(changed, 'log@1')).toThrow(refused);
    }
    for (let length = 0; length < segment.length; length += 1)
      expect(() => readSegment(segment.subarray(0, length), 'log@1')).toThrow(refused);
  });
});

describe('segments of a log', () => {
  const at = (epoch: number, part = 0, parts = 1) => ({ epoch, part, parts });

  it.each([
    [undefined, at(1)],
    [undefined, at(90)],
    [at(4), at(5)],
    [at(4), at(5, 0, 3)],
    [at(5, 0, 3), at(5, 1, 3)],
    [at(5, 2, 3), at(6)],
  ])('%o, then %o: in order', (last, next) => {
    expect(gapBetween(last, next)).toBeUndefined();
  });

  it.each([
    [undefined, at(1, 1, 2)],
    [at(4), at(6)],
    [at(4), at(4)],
    [at(4), at(3)],
    [at(5, 0, 3), at(5, 2, 3)],
    [at(5, 1, 3), at(6)],
    [at(5, 0, 3), at(5, 1, 2)],
    [at(5, 2, 3), at(6, 1, 2)],
  ])('%o, then %o: a gap', (last, next) => {
    expect(gapBetween(last, next)).toMatch(/epoch/);
  });
});
