import { gzipSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import type { BufferPool } from './buffer-pool.ts';
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from './varint.ts';

/** Headers of a record; bytes stay bytes. */
export type RecordHeaders = Readonly<Record<string, string | Buffer>>;

/** Those, or all of them as they are on the wire, their count included (`LazyRecord.patchedHeaders`). */
export type GivenHeaders = RecordHeaders | Buffer;

/**
 * Writes values in place. An Avro type of `avsc` is one: its `encode` has this contract.
 */
export interface ValueEncoder<V> {
  /**
   * Writes `value` at `at` and returns the position behind it; a negative number, or one beyond the buffer's end,
   * says that it does not fit: it is called again with more room.
   */
  encode(value: V, buffer: Buffer, at: number): number;
}

/** What the header of a finished batch says. */
export interface BatchIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Sequence number of the first record, 0 to 2^31 - 1. */
  readonly baseSequence: number;
  readonly compression: 'none' | 'gzip';
  /** Default true. */
  readonly transactional?: boolean;
}

/** Bytes of the header, as a record batch of version 2 has it (KIP-98). */
export const BATCH_HEADER_BYTES = 61;
const LENGTH_AT = 8;
const CRC_AT = 17;
const ATTRIBUTES_AT = 21;
const GZIP = 1;
const TRANSACTIONAL = 16;
/** Shorter strings are written character by character, which is faster than a call into the runtime. */
const SHORT_STRING = 48;
const MAX_GROWTHS = 8;

/**
 * One Kafka record batch, version 2, written record by record straight into a buffer of the pool: no object per
 * record. `finish` completes the header; until `reset` or `release` the batch may be sent as often as needed.
 */
export class RecordBatchBuilder {
  readonly #pool: BufferPool;
  #buffer: Buffer;
  #at = BATCH_HEADER_BYTES;
  #count = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;
  /** State before the last record, for `undo`. */
  #lastAt = BATCH_HEADER_BYTES;
  #lastMaxTimestamp = 0;
  /** What the last value written in place took as varints: the next is likely to be alike. */
  #recordPrefix = 2;
  #valuePrefix = 2;

  constructor(pool: BufferPool, initialBytes = 0) {
    this.#pool = pool;
    this.#buffer = pool.take(initialBytes);
  }

  /** Records so far. */
  get count(): number {
    return this.#count;
  }

  /** Bytes so far, header included, before compression. */
  get bytes(): number {
    return this.#at;
  }

  /** Adds a record. @param timestamp ms since the epoch, an integer. @throws RangeError when it is none. */
  append(
    key: Buffer | string | null,
    value: Buffer | null,
    timestamp: number,
    headers?: GivenHeaders,
  ): void {
    const delta = this.#timestampDelta(timestamp);
    const keyLength = lengthOf(key);
    const valueLength = value === null ? -1 : value.length;
    const body =
      1 +
      sizeOfVarlong(delta) +
      sizeOfVarint(this.#count) +
      sizeOfVarint(keyLength) +
      Math.max(keyLength, 0) +
      sizeOfVarint(valueLength) +
      Math.max(valueLength, 0) +
      (headers === undefined ? 1 : sizeOfHeaders(headers));
    this.#reserve(body + 5);
    const buffer = this.#buffer;
    let at = writeVarint(buffer, this.#at, body);
    at = this.#writePrefix(at, delta, key, keyLength);
    at = writeVarint(buffer, at, valueLength);
    if (value !== null) at += value.copy(buffer, at);
    at = writeHeaders(buffer, at, headers);
    this.#added(at, timestamp);
  }

  /** Adds a record whose value `encoder` writes in place: one copy less. @throws what the encoder throws. */
  appendWith<V>(
    key: Buffer | string | null,
    timestamp: number,
    headers: RecordHeaders | undefined,
    encoder: ValueEncoder<V>,
    value: V,
  ): void {
    const delta = this.#timestampDelta(timestamp);
    const keyLength = lengthOf(key);
    const headerBytes = headers === undefined ? 1 : sizeOfHeaders(headers);
    const around = 32 + Math.max(keyLength, 0) + headerBytes;
    this.#reserve(around + 256);
    const bodyAt = this.#at + this.#recordPrefix;
    const keyEnd = this.#writePrefix(bodyAt, delta, key, keyLength);
    const valueAt = keyEnd + this.#valuePrefix;
    const valueEnd = this.#encode(encoder, value, valueAt, headerBytes);
    const valueLength = valueEnd - valueAt;
    let at = valueEnd;
    const valuePrefix = sizeOfVarint(valueLength);
    if (valuePrefix !== this.#valuePrefix) {
      at = this.#shift(valueAt, valueEnd, valuePrefix - this.#valuePrefix);
      this.#valuePrefix = valuePrefix;
    }
    writeVarint(this.#buffer, keyEnd, valueLength);
    at = writeHeaders(this.#buffer, at, headers);
    const body = at - bodyAt;
    const recordPrefix = sizeOfVarint(body);
    if (recordPrefix !== this.#recordPrefix) {
      at = this.#shift(bodyAt, at, recordPrefix - this.#recordPrefix);
      this.#recordPrefix = recordPrefix;
    }
    writeVarint(this.#buffer, this.#at, body);
    this.#added(at, timestamp);
  }

  /** Takes the last record out again; at most once after each. */
  undo(): void {
    this.#count -= 1;
    this.#at = this.#lastAt;
    this.#maxTimestamp = this.#lastMaxTimestamp;
  }

  /**
   * Completes the header and returns the batch. Uncompressed, it is a view of this builder's buffer: valid until
   * `reset` or `release`.
   */
  finish(identity: BatchIdentity): Buffer {
    const gzip = identity.compression === 'gzip';
    let batch = this.#buffer.subarray(0, this.#at);
    if (gzip) {
      // Level 1: the CPU is what is short, and the higher levels save less than a tenth of the bytes.
      const records = gzipSync(batch.subarray(BATCH_HEADER_BYTES), { level: 1 });
      batch = Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), records]);
    }
    const transactional = identity.transactional ?? true;
    batch.fill(0, 0, 8);
    batch.writeInt32BE(batch.length - LENGTH_AT - 4, LENGTH_AT);
    batch.writeInt32BE(-1, 12);
    batch[16] = 2;
    batch.writeInt16BE((gzip ? GZIP : 0) | (transactional ? TRANSACTIONAL : 0), ATTRIBUTES_AT);
    batch.writeInt32BE(this.#count - 1, 23);
    batch.writeBigInt64BE(BigInt(this.#baseTimestamp), 27);
    batch.writeBigInt64BE(BigInt(this.#maxTimestamp), 35);
    batch.writeBigInt64BE(identity.producerId, 43);
    batch.writeInt16BE(identity.producerEpoch, 51);
    batch.writeInt32BE(identity.baseSequence, 53);
    batch.writeInt32BE(this.#count, 57);
    batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)) >>> 0, CRC_AT);
    return batch;
  }

  /** Empties the builder; its buffer stays. */
  reset(): void {
    this.#at = BATCH_HEADER_BYTES;
    this.#count = 0;
  }

  /** Gives the buffer back to the pool. The builder is of no further use, nor is what `finish` returned. */
  release(): void {
    const buffer = this.#buffer;
    this.#buffer = NOTHING;
    this.reset();
    if (buffer !== NOTHING) this.#pool.give(buffer);
  }

  #timestampDelta(timestamp: number): number {
    if (!Number.isSafeInteger(timestamp))
      throw new RangeError(`${timestamp} is no timestamp: whole milliseconds are expected`);
    return this.#count === 0 ? 0 : timestamp - this.#baseTimestamp;
  }

  /** Attributes, timestamp, offset and key. */
  #writePrefix(
    from: number,
    delta: number,
    key: Buffer | string | null,
    keyLength: number,
  ): number {
    const buffer = this.#buffer;
    buffer[from] = 0;
    let at = writeVarlong(buffer, from + 1, delta);
    at = writeVarint(buffer, at, this.#count);
    at = writeVarint(buffer, at, keyLength);
    if (key === null) return at;
    return typeof key === 'string'
      ? writeUtf8(buffer, at, key, keyLength)
      : at + key.copy(buffer, at);
  }

  #added(at: number, timestamp: number): void {
    this.#lastAt = this.#at;
    this.#lastMaxTimestamp = this.#maxTimestamp;
    if (this.#count === 0) {
      this.#baseTimestamp = timestamp;
      this.#maxTimestamp = timestamp;
    } else if (timestamp > this.#maxTimestamp) {
      this.#maxTimestamp = timestamp;
    }
    this.#at = at;
    this.#count += 1;
  }

  /** Encodes at `at`, with more room if it does not fit, and leaves room for headers and longer varints. */
  #encode<V>(encoder: ValueEncoder<V>, value: V, at: number, headerBytes: number): number {
    const room = headerBytes + 10;
    for (let growths = 0; growths <= MAX_GROWTHS; growths += 1) {
      const end = encoder.encode(value, this.#buffer, at);
      if (end >= at && end + room <= this.#buffer.length) return end;
      // avsc tells how many bytes were missing; who tells less gets twice the room.
      const wanted = end < 0 ? this.#buffer.length - end : end;
      this.#grow(Math.max(wanted + room, this.#buffer.length * 2), at);
    }
    throw new RangeError('an encoder never found enough room for its value');
  }

  /** Moves what lies in [from, to) by `by` bytes; returns its new end. */
  #shift(from: number, to: number, by: number): number {
    this.#buffer.copyWithin(from + by, from, to);
    return to + by;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > this.#buffer.length) this.#grow(this.#at + bytes, this.#at);
  }

  #grow(bytes: number, used: number): void {
    const old = this.#buffer;
    this.#buffer = this.#pool.take(bytes);
    old.copy(this.#buffer, 0, 0, used);
    if (old !== NOTHING) this.#pool.give(old);
  }
}

const NOTHING = Buffer.alloc(0);

function lengthOf(text: Buffer | string | null): number {
  if (text === null) return -1;
  return typeof text === 'string' ? utf8Length(text) : text.length;
}

function utf8Length(text: string): number {
  const { length } = text;
  if (length > SHORT_STRING) return Buffer.byteLength(text);
  for (let i = 0; i < length; i += 1) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.byteLength(text);
  }
  return length;
}

/** @param bytes the text's length in UTF-8, as `utf8Length` has it. */
function writeUtf8(buffer: Buffer, from: number, text: string, bytes: number): number {
  if (bytes !== text.length || bytes > SHORT_STRING)
    return from + buffer.write(text, from, bytes, bytes === text.length ? 'latin1' : 'utf8');
  for (let i = 0; i < bytes; i += 1) buffer[from + i] = text.charCodeAt(i);
  return from + bytes;
}

function sizeOfHeaders(headers: GivenHeaders): number {
  if (Buffer.isBuffer(headers)) return headers.length;
  let bytes = 0;
  let count = 0;
  for (const name in headers) {
    const nameLength = utf8Length(name);
    const valueLength = lengthOf(headers[name] ?? null);
    bytes += sizeOfVarint(nameLength) + nameLength + sizeOfVarint(valueLength);
    if (valueLength > 0) bytes += valueLength;
    count += 1;
  }
  return sizeOfVarint(count) + bytes;
}

function writeHeaders(buffer: Buffer, from: number, headers: GivenHeaders | undefined): number {
  if (headers === undefined) {
    buffer[from] = 0;
    return from + 1;
  }
  if (Buffer.isBuffer(headers)) return from + headers.copy(buffer, from);
  let count = 0;
  for (const _name in headers) count += 1;
  let at = writeVarint(buffer, from, count);
  for (const name in headers) {
    const value = headers[name] ?? null;
    const nameLength = utf8Length(name);
    at = writeUtf8(buffer, writeVarint(buffer, at, nameLength), name, nameLength);
    const valueLength = lengthOf(value);
    at = writeVarint(buffer, at, valueLength);
    if (typeof value === 'string') at = writeUtf8(buffer, at, value, valueLength);
    else if (value !== null) at += value.copy(buffer, at);
  }
  return at;
}
