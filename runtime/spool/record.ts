import { ReachflowError } from '../errors.ts';
import type { OutgoingRecord } from '../kafka/record.ts';

/**
 * A record as the spool keeps it, ready for its topic:
 *
 *     version 1 (uint8) · timestamp in ms (double) · topic · key · value · headers (uint16), each name and value
 *
 * Texts and bytes have their length before them (int32 BE), -1 for null.
 */
const VERSION = 1;
const FIXED_BYTES = 1 + 8 + 2;
const LENGTH_BYTES = 4;

/** @param now its timestamp where it has none, ms since the epoch. */
export function encodeSpooled(record: OutgoingRecord, now: number): Buffer {
  const headers = Object.entries(record.headers ?? {});
  let bytes = FIXED_BYTES + sizeOf(record.topic) + sizeOf(record.key) + sizeOf(record.value);
  for (const [name, value] of headers) bytes += sizeOf(name) + sizeOf(value);
  const buffer = Buffer.allocUnsafe(bytes);
  buffer[0] = VERSION;
  let at = buffer.writeDoubleBE(record.timestamp ?? now, 1);
  for (const part of [record.topic, record.key, record.value]) at = write(buffer, at, part);
  at = buffer.writeUInt16BE(headers.length, at);
  for (const [name, value] of headers) at = write(buffer, write(buffer, at, name), value);
  return buffer;
}

/** Reads it back; key, value and headers are views. @throws ReachflowError `SPOOL_VERSION` for one of a newer version. */
export function decodeSpooled(buffer: Buffer): OutgoingRecord & { readonly timestamp: number } {
  if (buffer[0] !== VERSION) throw unknownVersion(buffer[0]);
  const timestamp = buffer.readDoubleBE(1);
  let at = 9;
  const next = (): Buffer | null => {
    const length = buffer.readInt32BE(at);
    at += LENGTH_BYTES;
    if (length < 0) return null;
    at += length;
    return buffer.subarray(at - length, at);
  };
  const topic = String(next());
  const key = next();
  const value = next();
  let headers: Record<string, Buffer> | undefined;
  const count = buffer.readUInt16BE(at);
  at += 2;
  for (let i = 0; i < count; i += 1) {
    headers ??= Object.create(null) as Record<string, Buffer>;
    const name = String(next());
    headers[name] = next() ?? EMPTY;
  }
  return headers === undefined
    ? { topic, key, value, timestamp }
    : { topic, key, value, timestamp, headers };
}

const EMPTY = Buffer.alloc(0);

function sizeOf(part: Buffer | string | null): number {
  if (part === null) return LENGTH_BYTES;
  return LENGTH_BYTES + (typeof part === 'string' ? Buffer.byteLength(part) : part.length);
}

function write(buffer: Buffer, at: number, part: Buffer | string | null): number {
  if (part === null) return buffer.writeInt32BE(-1, at);
  const from = at + LENGTH_BYTES;
  const length = typeof part === 'string' ? buffer.write(part, from) : part.copy(buffer, from);
  buffer.writeInt32BE(length, at);
  return from + length;
}

function unknownVersion(version: number | undefined): ReachflowError {
  return new ReachflowError(`a spooled record is of version ${version}, which is not known`, {
    code: 'SPOOL_VERSION',
    domain: 'user',
    hint: 'A newer Reachflow wrote it: let that version drain the spool.',
  });
}
