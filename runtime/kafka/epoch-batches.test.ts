import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BufferPool } from './buffer-pool.ts';
import { EpochBatches } from './epoch-batches.ts';
import { decodeFetched } from './record-batch-decoder.ts';

const identity = {
  producerId: 1n,
  producerEpoch: 0,
  baseSequence: 0,
  compression: 'none' as const,
};
const copying = {
  encode: (value: Buffer, buffer: Buffer, at: number) => {
    const missing = at + value.length - buffer.length;
    if (missing > 0) return -missing;
    value.copy(buffer, at);
    return at + value.length;
  },
};

/** Values by `<topic>/<partition>`, in order, and the sizes of all batches. */
function contents(batches: EpochBatches) {
  const values = new Map<string, string[]>();
  const sizes: number[] = [];
  for (const { topic, partition, builders } of batches.partitions) {
    const own = builders.flatMap((builder) => {
      sizes.push(builder.bytes);
      return decodeFetched(builder.finish(identity), [], 0n).records;
    });
    values.set(
      `${topic}/${partition}`,
      own.map(({ value }) => value?.toString('latin1') ?? ''),
    );
  }
  return { values, sizes };
}

describe('EpochBatches', () => {
  const record = fc.record({
    topic: fc.constantFrom('a', 'b'),
    partition: fc.nat(3),
    bytes: fc.oneof(fc.nat(500), fc.integer({ min: 200_000, max: 900_000 })),
    inPlace: fc.boolean(),
  });

  it('keeps the order of each partition, in batches of bounded size, from epoch to epoch', () => {
    const pool = new BufferPool(4_194_304);
    fc.assert(
      fc.property(fc.array(record, { maxLength: 30 }), (records) => {
        const batches = new EpochBatches(pool);
        const expected = new Map<string, string[]>();
        for (const [i, { topic, partition, bytes, inPlace }] of records.entries()) {
          const value = Buffer.alloc(bytes, String(i));
          if (inPlace) batches.appendWith(topic, partition, 'k', i, undefined, copying, value);
          else batches.append(topic, partition, 'k', value, i);
          const key = `${topic}/${partition}`;
          expected.set(key, [...(expected.get(key) ?? []), value.toString('latin1')]);
        }
        const { values, sizes } = contents(batches);
        expect(batches.count).toBe(records.length);
        expect(values).toEqual(expected);
        expect(batches.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
        const largest = Math.max(0, ...records.map(({ bytes }) => bytes));
        expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(Math.max(700_100, largest + 200));
        batches.release();
        expect([batches.count, batches.bytes, batches.partitions.length]).toEqual([0, 0, 0]);
      }),
      { numRuns: 60 },
    );
  });
});

describe('BufferPool', () => {
  it('hands a buffer out again, and keeps no more than it may', () => {
    const pool = new BufferPool(100_000);
    const [small, large, other] = [pool.take(10), pool.take(60_000), pool.take(60_000)];
    expect([small.length, large.length]).toEqual([16_384, 65_536]);
    pool.give(small);
    pool.give(large);
    // Over the bound together with the others.
    pool.give(other);
    expect(pool.take(20_000) === large).toBe(true);
    expect(pool.take(20_000) === other).toBe(false);
    expect(pool.take(16_000) === small).toBe(true);
  });

  it('makes buffers of any size, and does not keep odd ones', () => {
    const pool = new BufferPool(100_000_000);
    const huge = pool.take(9_000_000);
    expect(huge.length).toBe(9_000_000);
    pool.give(huge);
    expect(pool.take(9_000_000) === huge).toBe(false);
  });
});
