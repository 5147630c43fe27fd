import { promisify } from 'node:util';
import { zstdCompress } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { LazyRecord } from './lazy-record.ts';
import { BATCH_HEADER_BYTES } from './record-batch.ts';
import { decodeFetchedWith } from './record-batch-decoder.ts';
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from './varint.ts';

const compress = promisify(zstdCompress);

const ZSTD = 4;
const NO_PRODUCER = -1;
/** Length of a record, attributes, timestamp and offset, at most. */
const RECORD_HEAD_BYTES = 5 + 1 + 8 + 5;
/** Offsets of a batch are told apart by a varint. */
const MAX_SPAN = 0x3fff_0000;

/**
 * Collects committed records into batches as a broker keeps them in its log: version 2, zstd, each record under its own
 * offset, gaps between them as compaction leaves them. Any tool that reads Kafka's log segments reads these.
 */
export class StoredBatch {
  #buffer: Buffer;
  #at = 0;
  #count = 0;
  #first = 0;
  #last = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;

  /** @param initialBytes it grows beyond. */
  constructor(initialBytes = 1_310_720) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get count(): number {
    return this.#count;
  }

  /** Before compression. */
  get bytes(): number {
    return this.#at;
  }

  /** Offsets of its first and last record. */
  get range(): readonly [first: number, last: number] {
    return [this.#first, this.#last];
  }

  /** Whether a record may be added: its offset is not too far from the first. */
  takes(record: LazyRecord): boolean {
    return this.#count === 0 || Number(record.offset) - this.#first < MAX_SPAN;
  }

  /** Adds a copy of a record; offsets ascend. */
  append(record: LazyRecord): void {
    const offset = Number(record.offset);
    const { timestamp } = record;
    if (this.#count === 0) {
      this.#first = offset;
      this.#baseTimestamp = timestamp;
      this.#maxTimestamp = timestamp;
    }
    const [delta, place] = [timestamp - this.#baseTimestamp, offset - this.#first];
    const length = 1 + sizeOfVarlong(delta) + sizeOfVarint(place) + record.bytes;
    this.#reserve(length + RECORD_HEAD_BYTES);
    const buffer = this.#buffer;
    let at = writeVarint(buffer, this.#at, length);
    buffer[at] = 0;
    at = writeVarlong(buffer, at + 1, delta);
    at = writeVarint(buffer, at, place);
    record.copyWire(buffer, at);
    this.#at = at + record.bytes;
    this.#last = offset;
    this.#maxTimestamp = Math.max(this.#maxTimestamp, timestamp);
    this.#count += 1;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  /** The batch as bytes, which are its own; it is empty then. */
  async take(): Promise<Buffer> {
    const header = Buffer.alloc(BATCH_HEADER_BYTES);
    header.writeBigInt64BE(BigInt(this.#first), 0);
    header[16] = 2;
    header.writeInt16BE(ZSTD, 21);
    header.writeInt32BE(this.#last - this.#first, 23);
    header.writeBigInt64BE(BigInt(this.#baseTimestamp), 27);
    header.writeBigInt64BE(BigInt(this.#maxTimestamp), 35);
    header.writeBigInt64BE(BigInt(NO_PRODUCER), 43);
    header.writeInt16BE(NO_PRODUCER, 51);
    header.writeInt32BE(NO_PRODUCER, 53);
    header.writeInt32BE(this.#count, 57);
    const payload = await compress(this.#buffer.subarray(0, this.#at));
    const batch = Buffer.concat([header, payload]);
    batch.writeInt32BE(batch.length - 12, 8);
    batch.writeUInt32BE(crc32c(batch.subarray(21)) >>> 0, 17);
    this.#at = 0;
    this.#count = 0;
    return batch;
  }
}

/** Bytes of a batch by its first 12. */
export function storedBatchBytes(start: Buffer): number {
  return 12 + start.readInt32BE(8);
}

/** The records of one whole batch; views of what was decompressed. @throws as `decodeFetched`. */
export function decodeStoredBatch(batch: Buffer): LazyRecord[] {
  return decodeFetchedWith(batch, [], 0n, (...record) => new LazyRecord(...record)).records;
}
