import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { BufferPool } from './buffer-pool.ts';
import { kafkajsModule } from './kafkajs.ts';
import { RecordBatchBuilder, type RecordHeaders, type ValueEncoder } from './record-batch.ts';
import { decodeFetched } from './record-batch-decoder.ts';

interface Given {
  readonly key: Buffer | string | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  readonly headers: RecordHeaders | undefined;
}

interface KafkaJsRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: string;
  readonly offset: string;
  readonly headers: Readonly<Record<string, Buffer>>;
}

type Decode = (decoder: unknown) => Promise<{
  readonly records: readonly KafkaJsRecord[];
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly firstSequence: number;
  readonly inTransaction: boolean;
  readonly lastOffsetDelta: number;
  readonly maxTimestamp: string;
}>;

const pool = new BufferPool(8_388_608);
const identity = {
  producerId: 12_345_678_901n,
  producerEpoch: 7,
  baseSequence: 2_147_483_000,
  compression: 'none' as const,
};

let decodeByKafkaJs: (batch: Buffer) => ReturnType<Decode>;
beforeAll(() => {
  const Decoder = kafkajsModule('protocol/decoder') as new (buffer: Buffer) => unknown;
  const decode = kafkajsModule('protocol/recordBatch/v0/decoder') as Decode;
  decodeByKafkaJs = (batch) => decode(new Decoder(batch));
});

/** Writes a value with a length that the builder does not know before. */
const copying: ValueEncoder<Buffer> = {
  encode: (value, buffer, at) => {
    const missing = at + value.length - buffer.length;
    if (missing > 0) return -missing;
    value.copy(buffer, at);
    return at + value.length;
  },
};

function build(records: readonly Given[], inPlace = false, compression: 'none' | 'gzip' = 'none') {
  const builder = new RecordBatchBuilder(pool);
  for (const { key, value, timestamp, headers } of records) {
    if (inPlace && value !== null) builder.appendWith(key, timestamp, headers, copying, value);
    else builder.append(key, value, timestamp, headers);
  }
  const batch = Buffer.from(builder.finish({ ...identity, compression }));
  builder.release();
  return batch;
}

/** As text, which compares fast. */
const textOf = (bytes: Buffer | string | null | undefined) =>
  bytes == null ? null : Buffer.from(bytes as string).toString('latin1');
const plain = (
  offset: bigint | number | string,
  timestamp: number | string,
  { key, value, headers }: Pick<Given, 'key' | 'value' | 'headers'>,
) =>
  JSON.stringify({
    offset: String(offset),
    timestamp: String(timestamp),
    key: textOf(key),
    value: textOf(value),
    headers: Object.entries(headers ?? {}).map(([name, bytes]) => [name, textOf(bytes)]),
  });

async function expectRoundTrip(records: readonly Given[], batch: Buffer): Promise<void> {
  const theirs = await decodeByKafkaJs(batch);
  expect(theirs).toMatchObject({
    producerId: String(identity.producerId),
    producerEpoch: identity.producerEpoch,
    firstSequence: identity.baseSequence,
    inTransaction: true,
    lastOffsetDelta: records.length - 1,
    maxTimestamp: String(Math.max(...records.map(({ timestamp }) => timestamp))),
  });
  const ours = decodeFetched(batch, [], 0n);
  expect(ours.nextOffset).toBe(BigInt(records.length));
  const given = records.map((record, i) => plain(i, record.timestamp, record));
  expect(theirs.records.map((r) => plain(r.offset, r.timestamp, r))).toEqual(given);
  expect(ours.records.map((r) => plain(r.offset, r.timestamp, r))).toEqual(given);
}

const text = fc.oneof(
  fc.string({ maxLength: 70 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
);
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const size = fc.oneof(fc.nat(20), fc.constantFrom(62, 63, 64, 8_190, 8_191, 8_192, 20_000));
const value = fc.oneof(
  bytes,
  size.map((length) => Buffer.alloc(length, length)),
);
const record = fc.record({
  key: fc.oneof(text, bytes, fc.constant(null)),
  value: fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: fc.constant(null) }),
  timestamp: fc.oneof(fc.nat(10_000), fc.integer({ min: 0, max: 2 ** 42 })),
  headers: fc.oneof(
    fc.constant(undefined),
    fc.dictionary(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
      fc.oneof(text, bytes),
      {
        maxKeys: 5,
        noNullPrototype: true,
      },
    ),
  ),
});
// KafkaJS's decoder puts headers into a plain object: names like `toString` come out with what it inherits.
const records = fc
  .array(record, { minLength: 1, maxLength: 30 })
  .filter((list) =>
    list.every(({ headers }) => Object.keys(headers ?? {}).every((name) => !(name in {}))),
  );

describe('RecordBatchBuilder', () => {
  it('is read back by KafkaJS and by our decoder, whatever was appended', async () => {
    await fc.assert(
      fc.asyncProperty(records, fc.boolean(), async (given, inPlace) => {
        await expectRoundTrip(given, build(given, inPlace));
      }),
      { numRuns: 300 },
    );
  });

  it('is read back when compressed', async () => {
    await fc.assert(
      fc.asyncProperty(records, async (given) => {
        await expectRoundTrip(given, build(given, false, 'gzip'));
      }),
      { numRuns: 100 },
    );
  });

  it('writes the same bytes in place as copied', () => {
    fc.assert(
      fc.property(records, (given) => {
        expect(build(given, true).equals(build(given, false))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('holds ten thousand records', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      key: `k${i}`,
      value: Buffer.from(`value ${i}`),
      timestamp: 1_790_000_000_000 + ((i * 7_919) % 5_000),
      headers: undefined,
    }));
    await expectRoundTrip(many, build(many));
  });

  it('takes the last record out again', () => {
    const builder = new RecordBatchBuilder(pool);
    builder.append('a', Buffer.from('1'), 5);
    const before = Buffer.from(builder.finish(identity));
    builder.append('b', Buffer.from('2'), 9_000, { h: 'x' });
    builder.undo();
    expect(builder.finish(identity).equals(before)).toBe(true);
    expect(builder.count).toBe(1);
  });

  it('refuses a timestamp that is no whole number, and stays as it was', () => {
    const builder = new RecordBatchBuilder(pool);
    for (const wrong of [1.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => builder.append('a', null, wrong)).toThrow(RangeError);
    expect(builder.count).toBe(0);
  });

  it('gives up on an encoder that never fits', () => {
    const builder = new RecordBatchBuilder(pool);
    const never = { encode: () => -1 };
    expect(() => builder.appendWith('a', 1, undefined, never, 0)).toThrow(RangeError);
  });
});

describe('decodeFetched', () => {
  const three = [1, 2, 3].map((i) => ({
    key: `k${i}`,
    value: Buffer.from(`v${i}`),
    timestamp: i,
    headers: undefined,
  }));
  /** As the broker would store a batch at `offset`: the offset is not part of the checksum. */
  const at = (offset: bigint, batch: Buffer) => {
    const stored = Buffer.from(batch);
    stored.writeBigInt64BE(offset, 0);
    return stored;
  };

  it('begins in the middle of a batch', () => {
    const fetched = decodeFetched(at(10n, build(three)), [], 11n);
    expect(fetched.records.map(({ offset }) => offset)).toEqual([11n, 12n]);
    expect(fetched.nextOffset).toBe(13n);
  });

  it('leaves a batch that is cut short for the next fetch, wherever it is cut', () => {
    const whole = at(10n, build(three));
    const next = at(13n, build(three));
    for (let cut = 0; cut < next.length; cut += 1) {
      const fetched = decodeFetched(Buffer.concat([whole, next.subarray(0, cut)]), [], 10n);
      expect(fetched.nextOffset).toBe(13n);
      expect(fetched.records.length).toBe(3);
    }
  });

  it('reports a damaged batch, whatever byte is wrong', () => {
    const whole = build(three);
    fc.assert(
      fc.property(
        fc.integer({ min: 16, max: whole.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (i, by) => {
          const damaged = Buffer.from(whole);
          damaged[i] = (damaged[i] ?? 0) ^ by;
          expect(() => decodeFetched(damaged, [], 0n)).toThrow(
            expect.objectContaining({ code: 'CORRUPT_RECORDS' }),
          );
        },
      ),
    );
  });

  it('leaves out what was aborted, and goes on behind it', () => {
    const aborted = [{ producerId: String(identity.producerId), firstOffset: '10' }];
    const fetched = decodeFetched(at(10n, build(three)), aborted, 10n);
    const spans = [{ kind: 'aborted', first: 10, last: 12, count: 3 }];
    expect(fetched).toEqual({ records: [], nextOffset: 13n, spans });
  });
});
