import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { ReachflowError } from '../errors.ts';
import { decodeHeaders, readBytes } from './lazy-record.ts';
import { type AbortedTransaction, dropAborted } from './read-committed.ts';
import type { KafkaRecord } from './record.ts';
import { BATCH_HEADER_BYTES } from './record-batch.ts';
import { VarintReader } from './varint.ts';

/** Where a fetched stretch of a partition ends, and the committed records in it. */
export interface FetchedRecords<R = KafkaRecord> {
  /** Ascending; views of the fetched bytes, not copies. */
  readonly records: R[];
  /** Behind the last whole batch, markers and dropped batches included; `from` when there is none. */
  readonly nextOffset: bigint;
  /** What each batch holds, in order: to account for every offset. */
  readonly spans: readonly BatchSpan[];
}

/**
 * The offsets of one batch. A batch keeps those of records that compaction removed from it: it has fewer records than
 * offsets then.
 */
export interface BatchSpan {
  /** A transaction's marker, records of a transaction that was aborted, or committed records. */
  readonly kind: 'marker' | 'aborted' | 'records';
  readonly first: number;
  readonly last: number;
  /** Records that are still there. */
  readonly count: number;
}

/** A batch's header; the fields that `dropAborted` looks at are named as KafkaJS names those of a message. */
interface BatchHeader {
  /** Of the last record. */
  readonly offset: string;
  /** Of the control record; null otherwise. */
  readonly key: Buffer | null;
  readonly isControlRecord: boolean;
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean };
  readonly bytes: Buffer;
  readonly baseOffset: number;
  readonly attributes: number;
}

/** Makes a record of its bytes. @param reader stands at its key. @param end where the record ends. */
export type MakeRecord<R> = (
  reader: VarintReader,
  offset: bigint,
  timestamp: number,
  end: number,
) => R;

const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/**
 * Decodes what a fetch returned of one partition: record batches of version 2, the last one perhaps cut short.
 * Records before `from` and those of aborted transactions are left out. Offsets beyond 2^53 are not supported.
 * @throws ReachflowError `CORRUPT_RECORDS` when a checksum is wrong, `UNSUPPORTED_COMPRESSION` for Snappy and LZ4.
 */
export function decodeFetched(
  fetched: Buffer,
  aborted: readonly AbortedTransaction[],
  from: bigint,
): FetchedRecords {
  return decodeFetchedWith(fetched, aborted, from, wholeRecord);
}

/** As `decodeFetched`, with another kind of record. @throws what it throws, and what `make` throws. */
export function decodeFetchedWith<R>(
  fetched: Buffer,
  aborted: readonly AbortedTransaction[],
  from: bigint,
  make: MakeRecord<R>,
): FetchedRecords<R> {
  const batches = readHeaders(fetched);
  const last = batches.at(-1);
  if (last === undefined) return { records: [], nextOffset: from, spans: [] };
  const next = BigInt(last.offset) + 1n;
  const records: R[] = [];
  const first = Number(from);
  const kept = dropAborted({ messages: batches, abortedTransactions: aborted });
  for (const batch of kept) {
    if (batch.isControlRecord || Number(batch.offset) < first) continue;
    readRecords(batch, first, records, make);
  }
  return { records, nextOffset: next > from ? next : from, spans: spansOf(batches, kept) };
}

function spansOf(batches: readonly BatchHeader[], kept: readonly BatchHeader[]): BatchSpan[] {
  let next = 0;
  return batches.map((batch) => {
    const isKept = kept[next] === batch;
    if (isKept) next += 1;
    return {
      kind: batch.isControlRecord ? 'marker' : isKept ? 'records' : 'aborted',
      first: batch.baseOffset,
      last: Number(batch.offset),
      count: batch.bytes.readInt32BE(57),
    };
  });
}

function readHeaders(fetched: Buffer): BatchHeader[] {
  const batches: BatchHeader[] = [];
  for (let at = 0; at + BATCH_HEADER_BYTES <= fetched.length; ) {
    const end = at + 12 + fetched.readInt32BE(at + 8);
    // The broker cuts a fetch off at its size, not at a batch.
    if (end > fetched.length) break;
    const bytes = fetched.subarray(at, end);
    if (bytes[16] !== 2) throw corrupt(`a batch of version ${bytes[16]}`);
    if (crc32c(bytes.subarray(21)) >>> 0 !== bytes.readUInt32BE(17))
      throw corrupt(`the checksum of the batch at offset ${bytes.readBigInt64BE(0)}`);
    const baseOffset = Number(bytes.readBigInt64BE(0));
    const attributes = bytes.readInt16BE(21);
    const isControlRecord = (attributes & CONTROL) !== 0;
    batches.push({
      offset: String(baseOffset + bytes.readInt32BE(23)),
      key: isControlRecord ? controlKey(bytes) : null,
      isControlRecord,
      batchContext: {
        producerId: String(bytes.readBigInt64BE(43)),
        inTransaction: (attributes & TRANSACTIONAL) !== 0,
      },
      bytes,
      baseOffset,
      attributes,
    });
    at = end;
  }
  return batches;
}

/** Key of the only record of a control batch; null when compaction has removed it. */
function controlKey(batch: Buffer): Buffer | null {
  if (batch.readInt32BE(57) === 0) return null;
  const reader = new VarintReader(batch, BATCH_HEADER_BYTES);
  reader.varint();
  reader.position += 1;
  reader.varlong();
  reader.varint();
  const length = reader.varint();
  return length < 0 ? null : batch.subarray(reader.position, reader.position + length);
}

function wholeRecord(reader: VarintReader, offset: bigint, timestamp: number): KafkaRecord {
  const key = readBytes(reader);
  const value = readBytes(reader);
  return { offset, timestamp, key, value, headers: decodeHeaders(reader) };
}

function readRecords<R>(batch: BatchHeader, first: number, into: R[], make: MakeRecord<R>): void {
  const { bytes, baseOffset, attributes } = batch;
  const count = bytes.readInt32BE(57);
  const appendTime = (attributes & LOG_APPEND_TIME) !== 0;
  const baseTimestamp = Number(bytes.readBigInt64BE(appendTime ? 35 : 27));
  const payload = decompress(bytes.subarray(BATCH_HEADER_BYTES), attributes & 0x07);
  const reader = new VarintReader(payload);
  for (let i = 0; i < count; i += 1) {
    const length = reader.varint();
    const end = reader.position + length;
    if (end > payload.length) throw corrupt('the length of a record');
    reader.position += 1;
    const delta = reader.varlong();
    const offset = baseOffset + reader.varint();
    if (offset < first) {
      reader.position = end;
      continue;
    }
    const timestamp = appendTime ? baseTimestamp : baseTimestamp + delta;
    into.push(make(reader, BigInt(offset), timestamp, end));
    reader.position = end;
  }
}

function decompress(payload: Buffer, codec: number): Buffer {
  if (codec === 0) return payload;
  if (codec === 1) return gunzipSync(payload);
  if (codec === 4) return zstdDecompressSync(payload);
  const name = codec === 2 ? 'Snappy' : 'LZ4';
  throw new ReachflowError(`records are compressed by ${name}, which is not supported`, {
    code: 'UNSUPPORTED_COMPRESSION',
    domain: 'user',
    hint: 'Let the producer of this topic use gzip, zstd or no compression.',
  });
}

function corrupt(what: string): ReachflowError {
  return new ReachflowError(`fetched records are damaged: ${what} is wrong`, {
    code: 'CORRUPT_RECORDS',
    domain: 'external',
    hint: 'Check the disks of the brokers; another replica may be whole.',
  });
}
