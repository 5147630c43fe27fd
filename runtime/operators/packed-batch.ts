import { ReachflowError } from '../errors.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { SourceRecord } from '../topology/record.ts';

/**
 * A record of a repartition topic: what one task sends to one partition in one epoch, many entries in one record,
 * with the watermark that the task has reached. Layout, all little-endian:
 *
 * `version u8 | channel u32 | flags u8 (1: idle) | watermark f64 | count u32 | entries…`, and per entry
 * `key length u32 | key | timestamp f64 | watermark f64 | value length u32 | value`.
 *
 * The header says for every entry which upstream task (channel) it came from, so a reader keeps one watermark for
 * each of them, as Flink does for its channels; Kafka Streams keeps one for all, and loses records that follow behind.
 */
const VERSION = 1;
const HEADER_BYTES = 18;
const ENTRY_BYTES = 24;
const IDLE = 1;

/** Gathers the entries for one partition. The buffer is used again after `take`. */
export class BatchPacker {
  #buffer = Buffer.allocUnsafe(4_096);
  #at = HEADER_BYTES;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#at;
  }

  add(key: string, timestamp: number, watermark: number, value: Buffer): void {
    this.#reserve(ENTRY_BYTES + key.length * 3 + value.length);
    const buffer = this.#buffer;
    let at = this.#at;
    const keyBytes = buffer.write(key, at + 4, 'utf8');
    buffer.writeUInt32LE(keyBytes, at);
    at += 4 + keyBytes;
    buffer.writeDoubleLE(timestamp, at);
    buffer.writeDoubleLE(watermark, at + 8);
    buffer.writeUInt32LE(value.length, at + 16);
    value.copy(buffer, at + 20);
    this.#at = at + 20 + value.length;
    this.#count += 1;
  }

  /** The packed record, a copy; begins anew. @param watermark of the task, ms. */
  take(channel: number, watermark: number, idle: boolean): Buffer {
    const buffer = this.#buffer;
    buffer[0] = VERSION;
    buffer.writeUInt32LE(channel, 1);
    buffer[5] = idle ? IDLE : 0;
    buffer.writeDoubleLE(watermark, 6);
    buffer.writeUInt32LE(this.#count, 14);
    const result = Buffer.from(buffer.subarray(0, this.#at));
    this.#at = HEADER_BYTES;
    this.#count = 0;
    return result;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

export interface PackedHeader {
  /** Partition of the upstream task. */
  readonly channel: number;
  /** What it had reached when it committed, ms. */
  readonly watermark: number;
  readonly idle: boolean;
}

/**
 * Hands over each entry of a packed record. Values are views of `bytes`.
 * @throws ReachflowError `UNDECODABLE`.
 */
export function unpackBatch(
  bytes: Buffer,
  onEntry: (key: string, timestamp: number, watermark: number, value: Buffer) => void,
): PackedHeader {
  if (bytes.length < HEADER_BYTES || bytes[0] !== VERSION) {
    throw new ReachflowError('a record of a repartition topic is of an unknown format', {
      code: 'UNDECODABLE',
      domain: 'internal',
      hint: 'Only the pipeline itself writes to its repartition topics.',
    });
  }
  const count = bytes.readUInt32LE(14);
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i += 1) {
    const keyEnd = at + 4 + bytes.readUInt32LE(at);
    const key = bytes.toString('utf8', at + 4, keyEnd);
    const valueStart = keyEnd + 20;
    const valueEnd = valueStart + bytes.readUInt32LE(keyEnd + 16);
    const value = bytes.subarray(valueStart, valueEnd);
    onEntry(key, bytes.readDoubleLE(keyEnd), bytes.readDoubleLE(keyEnd + 8), value);
    at = valueEnd;
  }
  return {
    channel: bytes.readUInt32LE(1),
    watermark: bytes.readDoubleLE(6),
    idle: ((bytes[5] ?? 0) & IDLE) !== 0,
  };
}

/** Where an entry came from: its packed record, and the entry itself. */
export class PackedEntry implements SourceRecord {
  readonly topic: string;
  readonly partition: number;
  readonly record: KafkaRecord;
  readonly failedStep?: string;
  readonly #key: string;
  readonly #timestamp: number;
  readonly #watermark: number;
  readonly #value: Buffer;

  constructor(
    { topic, partition, record, failedStep }: SourceRecord,
    key: string,
    timestamp: number,
    watermark: number,
    value: Buffer,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.record = record;
    if (failedStep !== undefined) this.failedStep = failedStep;
    this.#key = key;
    this.#timestamp = timestamp;
    this.#watermark = watermark;
    this.#value = value;
  }

  /** The record as if it had this entry only, under the entry's key. */
  alone(): KafkaRecord {
    const packer = new BatchPacker();
    packer.add(this.#key, this.#timestamp, this.#watermark, this.#value);
    const channel = this.record.value?.readUInt32LE(1) ?? 0;
    // It says nothing of what its task has reached: it may be read long after.
    const value = packer.take(channel, Number.NEGATIVE_INFINITY, false);
    return { ...this.record, key: Buffer.from(this.#key), value };
  }
}
