import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BufferPool } from './buffer-pool.ts';
import { headerPatch, LazyRecord } from './lazy-record.ts';
import { RecordBatchBuilder, type RecordHeaders } from './record-batch.ts';
import { decodeFetched, decodeFetchedWith } from './record-batch-decoder.ts';

const pool = new BufferPool(8_388_608);
const identity = {
  producerId: 1n,
  producerEpoch: 0,
  baseSequence: 0,
  compression: 'none',
} as const;
const text = fc.string({ unit: 'grapheme', maxLength: 80 });
const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
const headers: fc.Arbitrary<RecordHeaders> = fc
  .array(fc.tuple(text, bytes), { maxLength: 24 })
  .map((entries) => Object.assign(Object.create(null), Object.fromEntries(entries)));
const record = fc.record({
  key: fc.option(bytes, { nil: null }),
  value: fc.option(bytes, { nil: null }),
  headers,
});
type Given = typeof record extends fc.Arbitrary<infer T> ? T : never;

function batchOf(
  given: readonly { key: Buffer | null; value: Buffer | null; headers: RecordHeaders | Buffer }[],
) {
  const builder = new RecordBatchBuilder(pool);
  for (const { key, value, headers } of given) builder.append(key, value, 1_000, headers);
  return Buffer.from(builder.finish(identity));
}

function lazily(given: readonly Given[]): LazyRecord[] {
  const make = (...args: ConstructorParameters<typeof LazyRecord>) => new LazyRecord(...args);
  return decodeFetchedWith(batchOf(given), [], 0n, make).records;
}

const plain = ({ offset, timestamp, key, value, headers }: LazyRecord) => {
  return { offset, timestamp, key, value, headers: { ...headers } };
};

describe('LazyRecord', () => {
  it('has what an eager decoder has, also as a copy', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (given) => {
        const eager = decodeFetched(batchOf(given), [], 0n).records.map((one) => {
          return { ...one, headers: { ...one.headers } };
        });
        expect(lazily(given).map(plain)).toEqual(eager);
        expect(lazily(given).map((one) => plain(one.copy()))).toEqual(eager);
      }),
    );
  });

  it('finds headers by their names', () => {
    fc.assert(
      fc.property(record, text, (given, other) => {
        const names = [...new Set([...Object.keys(given.headers), other])];
        const [one] = lazily([given]);
        if (one === undefined) throw new Error('one record is expected');
        const places = one.locate(names.map((name) => Buffer.from(name)));
        names.forEach((name, i) => {
          const found = one.text(places[i * 2] ?? 0, places[i * 2 + 1] ?? 0);
          const own = Object.hasOwn(one.headers, name) ? one.headers[name] : undefined;
          expect(found).toBe(own?.toString('utf8') ?? '');
        });
      }),
    );
  });

  it('replaces headers on the wire as an object spread does', () => {
    const added = fc.dictionary(text, text, { minKeys: 1, maxKeys: 5 });
    fc.assert(
      fc.property(record, added, fc.boolean(), (given, patch, some) => {
        const [first] = Object.keys(given.headers);
        const wanted = some && first !== undefined ? { ...patch, [first]: 'replaced' } : patch;
        const [one] = lazily([given]);
        if (one === undefined) throw new Error('one record is expected');
        const patched = one.patchedHeaders(headerPatch(wanted));
        const [sent] = decodeFetched(batchOf([{ ...given, headers: patched }]), [], 0n).records;
        const expected = new Map(Object.entries(one.headers));
        for (const [name, value] of Object.entries(wanted)) expected.set(name, Buffer.from(value));
        expect(new Map(Object.entries(sent?.headers ?? {}))).toEqual(expected);
        expect(sent?.value).toEqual(given.value);
      }),
    );
  });

  it('reads whole numbers of digits only', () => {
    const cases = { a: '0', b: '123456789012345', c: '-1', d: '', e: '1x', f: '1234567890123456' };
    const headers = Object.fromEntries(
      Object.entries(cases).map(([name, value]) => [name, Buffer.from(value)]),
    );
    const [one] = lazily([{ key: null, value: null, headers }]);
    const places = one?.locate(Object.keys(cases).map((name) => Buffer.from(name))) ?? [];
    const numbers = Object.keys(cases).map((_, i) =>
      one?.digits(places[i * 2] ?? 0, places[i * 2 + 1] ?? 0),
    );
    expect(numbers).toEqual([0, 123_456_789_012_345, -1, -1, -1, -1]);
  });
});
