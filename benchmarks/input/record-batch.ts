import { crc32c } from '@node-rs/crc32';

/** Header of a record batch, in bytes: Kafka's message format 2. */
const HEADER_BYTES = 61;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
/** What a record needs at most beside its key and value: five varints of 32 bits, attributes, no headers. */
const RECORD_OVERHEAD = 32;

/** Writes a signed 32-bit integer, zigzag and in groups of 7 bits; returns the position behind it. */
function writeVarint(buffer: Buffer, at: number, value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0;
  let position = at;
  while (rest > 0x7f) {
    buffer[position] = (rest & 0x7f) | 0x80;
    position += 1;
    rest >>>= 7;
  }
  buffer[position] = rest;
  return position + 1;
}

function varintBytes(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  return zigzag === 0 ? 1 : Math.ceil((32 - Math.clz32(zigzag)) / 7);
}

/**
 * A record batch (message format 2, KIP-98) without compression or transaction. It is the benchmark's own, so that no
 * contestant's code writes what all of them read.
 */
export class RecordBatch {
  readonly #buffer: Buffer;
  #end = HEADER_BYTES;
  #count = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;

  /** @param bytes that it holds at most, header included. */
  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  get count(): number {
    return this.#count;
  }

  /** False when it is full: then nothing was added. @param timestamp ms since the epoch. */
  append(timestamp: number, key: Buffer, value: Buffer): boolean {
    const buffer = this.#buffer;
    if (this.#end + RECORD_OVERHEAD + key.length + value.length > buffer.length) return false;
    if (this.#count === 0) this.#baseTimestamp = timestamp;
    this.#maxTimestamp = this.#count === 0 ? timestamp : Math.max(this.#maxTimestamp, timestamp);
    const sinceBase = timestamp - this.#baseTimestamp;
    const length =
      1 +
      varintBytes(sinceBase) +
      varintBytes(this.#count) +
      varintBytes(key.length) +
      key.length +
      varintBytes(value.length) +
      value.length +
      1;
    let at = writeVarint(buffer, this.#end, length);
    buffer[at] = 0;
    at = writeVarint(buffer, at + 1, sinceBase);
    at = writeVarint(buffer, at, this.#count);
    at = writeVarint(buffer, at, key.length);
    at += key.copy(buffer, at);
    at = writeVarint(buffer, at, value.length);
    at += value.copy(buffer, at);
    buffer[at] = 0;
    this.#end = at + 1;
    this.#count += 1;
    return true;
  }

  /** The batch's bytes, a copy; it is empty afterwards. */
  take(): Buffer {
    const buffer = this.#buffer;
    buffer.writeBigInt64BE(0n, 0);
    buffer.writeInt32BE(this.#end - 12, 8);
    buffer.writeInt32BE(-1, 12);
    buffer.writeInt8(2, 16);
    buffer.writeInt16BE(0, ATTRIBUTES_AT);
    buffer.writeInt32BE(this.#count - 1, 23);
    buffer.writeBigInt64BE(BigInt(this.#baseTimestamp), 27);
    buffer.writeBigInt64BE(BigInt(this.#maxTimestamp), 35);
    buffer.writeBigInt64BE(-1n, 43);
    buffer.writeInt16BE(-1, 51);
    buffer.writeInt32BE(-1, 53);
    buffer.writeInt32BE(this.#count, 57);
    buffer.writeUInt32BE(crc32c(buffer.subarray(ATTRIBUTES_AT, this.#end)), CRC_AT);
    const bytes = Buffer.from(buffer.subarray(0, this.#end));
    this.#end = HEADER_BYTES;
    this.#count = 0;
    return bytes;
  }
}
