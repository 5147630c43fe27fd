import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kafkajsModule } from './kafkajs.ts';
import { murmur2, partitionOfKey } from './murmur2.ts';

const theirs = kafkajsModule('producer/partitioners/default/murmur2') as (key: Buffer) => number;

describe('murmur2', () => {
  // Of org.apache.kafka.common.utils.UtilsTest#testMurmur2.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ])('hashes %s as the Java client does', (text, expected) => {
    expect(murmur2(Buffer.from(text))).toBe(expected);
  });

  it('agrees with the hash of KafkaJS on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(murmur2(bytes)).toBe(theirs(Buffer.from(bytes)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('puts text where its UTF-8 bytes go', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'grapheme', maxLength: 2_000 }));
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 300 }), (key, partitions) => {
        const partition = partitionOfKey(key, partitions);
        expect(partition).toBe(partitionOfKey(Buffer.from(key), partitions));
        expect(partition).toBeGreaterThanOrEqual(0);
        expect(partition).toBeLessThan(partitions);
      }),
    );
  });
});
