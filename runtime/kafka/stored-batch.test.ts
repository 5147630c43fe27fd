import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BufferPool } from './buffer-pool.ts';
import { LazyRecord } from './lazy-record.ts';
import { RecordBatchBuilder } from './record-batch.ts';
import { decodeFetchedWith } from './record-batch-decoder.ts';
import { decodeStoredBatch, StoredBatch, storedBatchBytes } from './stored-batch.ts';

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const given = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  timestamp: fc.integer({ min: 0, max: 2_000_000_000_000 }),
  header: bytes,
  gap: fc.integer({ min: 0, max: 1_000_000 }),
});

it('keeps records as they were, each under its own offset', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(given, { minLength: 1, maxLength: 30 }), async (records) => {
      const batch = new StoredBatch(64);
      const originals: LazyRecord[] = [];
      let offset = 0n;
      for (const { key, value, timestamp, header, gap } of records) {
        offset += BigInt(gap) + 1n;
        const [record] = lazily(key, value, timestamp, header, offset);
        if (record === undefined) throw new Error('one record was built');
        originals.push(record);
        expect(batch.takes(record)).toBe(true);
        batch.append(record);
      }
      const stored = await batch.take();
      expect(storedBatchBytes(stored)).toBe(stored.length);
      expect(batch.count).toBe(0);
      const found = decodeStoredBatch(stored);
      const plain = ({ offset: at, timestamp, key, value, headers }: LazyRecord) => ({
        at,
        timestamp,
        key,
        value,
        headers,
      });
      expect(found.map(plain)).toEqual(originals.map(plain));
      const damaged = Buffer.from(stored);
      damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
      expect(() => decodeStoredBatch(damaged)).toThrow(
        expect.objectContaining({ code: 'CORRUPT_RECORDS' }),
      );
    }),
    { numRuns: 50 },
  );
});

/** A record as a broker has it. */
function lazily(
  key: Buffer | null,
  value: Buffer | null,
  timestamp: number,
  header: Buffer,
  offset: bigint,
): LazyRecord[] {
  const builder = new RecordBatchBuilder(new BufferPool(1_048_576));
  builder.append(key, value, timestamp, { header });
  const identity = { producerId: -1n, producerEpoch: -1, baseSequence: -1, transactional: false };
  const batch = Buffer.from(builder.finish({ ...identity, compression: 'none' }));
  batch.writeBigInt64BE(offset, 0);
  return decodeFetchedWith(batch, [], 0n, (...record) => new LazyRecord(...record)).records;
}
