import { crc32c } from '@node-rs/crc32';
import { expect, it } from 'vitest';
import { RecordBatch } from './record-batch.ts';

/** Reads a zigzag varint. */
function varint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  let shift = 0;
  let position = at;
  for (;;) {
    const byte = bytes[position] ?? 0;
    position += 1;
    value += (byte & 0x7f) * 2 ** shift;
    shift += 7;
    if (byte < 0x80) return [value % 2 === 0 ? value / 2 : -(value + 1) / 2, position];
  }
}

it('writes batches of message format 2, as the Kafka documentation lays them out', () => {
  const batch = new RecordBatch(4_096);
  const records = [
    [1_000_000, 'a', 'first'],
    [1_000_200, 'key', 'x'.repeat(300)],
    [999_990, 'b', ''],
  ] as const;
  for (const [at, key, value] of records) {
    expect(batch.append(at, Buffer.from(key), Buffer.from(value))).toBe(true);
  }
  const bytes = batch.take();
  expect(bytes.readInt32BE(8)).toBe(bytes.length - 12);
  expect(bytes[16]).toBe(2);
  expect(bytes.readUInt32BE(17)).toBe(crc32c(bytes.subarray(21)));
  expect(bytes.readInt32BE(23)).toBe(2);
  expect([bytes.readBigInt64BE(27), bytes.readBigInt64BE(35)]).toEqual([1_000_000n, 1_000_200n]);
  expect(bytes.readInt32BE(57)).toBe(3);
  let at = 61;
  for (const [number, [timestamp, key, value]] of records.entries()) {
    const [length, start] = varint(bytes, at);
    const [sinceBase, afterTime] = varint(bytes, start + 1);
    const [offset, afterOffset] = varint(bytes, afterTime);
    const [keyLength, keyAt] = varint(bytes, afterOffset);
    const [valueLength, valueAt] = varint(bytes, keyAt + keyLength);
    expect([sinceBase, offset]).toEqual([timestamp - 1_000_000, number]);
    expect(bytes.toString('utf8', keyAt, keyAt + keyLength)).toBe(key);
    expect(bytes.toString('utf8', valueAt, valueAt + valueLength)).toBe(value);
    expect(bytes[valueAt + valueLength]).toBe(0);
    at = valueAt + valueLength + 1;
    expect(at).toBe(start + length);
  }
  expect(at).toBe(bytes.length);
});

it('says when it is full, and begins anew when taken', () => {
  const batch = new RecordBatch(256);
  const [key, value] = [Buffer.alloc(10), Buffer.alloc(100)];
  expect(batch.append(1, key, value)).toBe(true);
  expect(batch.append(2, key, value)).toBe(false);
  expect(batch.count).toBe(1);
  batch.take();
  expect(batch.count).toBe(0);
  expect(batch.append(2, key, value)).toBe(true);
});
