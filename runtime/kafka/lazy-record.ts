import type { KafkaRecord } from './record.ts';
import { sizeOfVarint, VarintReader, writeVarint } from './varint.ts';

/** Headers as they are on the wire, to replace those of the same names: encoded once for many records. */
export interface HeaderPatch {
  readonly names: readonly Buffer[];
  /** Names and values, without their count. */
  readonly bytes: Buffer;
}

/** Encodes headers to be put in the place of those that a record has. */
export function headerPatch(headers: Readonly<Record<string, string>>): HeaderPatch {
  const names: Buffer[] = [];
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const bytes = Buffer.from(name);
    names.push(bytes);
    for (const part of [bytes, Buffer.from(value)]) {
      const length = Buffer.alloc(sizeOfVarint(part.length));
      writeVarint(length, 0, part.length);
      parts.push(length, part);
    }
  }
  return { names, bytes: Buffer.concat(parts) };
}

/**
 * A fetched record that is decoded as far as it is asked for: who looks through many for a few of their headers, or
 * copies them, does not pay for the rest. A view of the fetched bytes.
 */
export class LazyRecord implements KafkaRecord {
  readonly offset: bigint;
  readonly timestamp: number;
  readonly #buffer: Buffer;
  readonly #start: number;
  readonly #end: number;
  readonly #keyAt: number;
  readonly #valueAt: number;
  readonly #headersAt: number;
  readonly #keyLength: number;
  readonly #valueLength: number;
  #headers: Readonly<Record<string, Buffer>> | undefined;

  /** @param reader stands at the record's key. @param end where the record ends. @throws RangeError when it is cut short. */
  constructor(reader: VarintReader, offset: bigint, timestamp: number, end: number) {
    this.offset = offset;
    this.timestamp = timestamp;
    this.#buffer = reader.buffer;
    this.#start = reader.position;
    this.#end = end;
    this.#keyLength = reader.varint();
    this.#keyAt = reader.position;
    if (this.#keyLength > 0) reader.position += this.#keyLength;
    this.#valueLength = reader.varint();
    this.#valueAt = reader.position;
    if (this.#valueLength > 0) reader.position += this.#valueLength;
    this.#headersAt = reader.position;
  }

  get key(): Buffer | null {
    if (this.#keyLength < 0) return null;
    return this.#buffer.subarray(this.#keyAt, this.#keyAt + this.#keyLength);
  }

  get value(): Buffer | null {
    if (this.#valueLength < 0) return null;
    return this.#buffer.subarray(this.#valueAt, this.#headersAt);
  }

  /** Of a header that is there several times the last counts; one that is null is left out. */
  get headers(): Readonly<Record<string, Buffer>> {
    this.#headers ??= decodeHeaders(new VarintReader(this.#buffer, this.#headersAt));
    return this.#headers;
  }

  /** Bytes of key, value and headers. */
  get bytes(): number {
    return this.#end - this.#start;
  }

  /** Key, value and headers as they are on the wire, copied to `at`, where there has to be room for `bytes`. */
  copyWire(target: Buffer, at: number): void {
    this.#buffer.copy(target, at, this.#start, this.#end);
  }

  /** The record with bytes of its own, so that what was fetched with it can be let go. */
  copy(): LazyRecord {
    const own = Buffer.from(this.#buffer.subarray(this.#start, this.#end));
    return new LazyRecord(new VarintReader(own), this.offset, this.timestamp, own.length);
  }

  /**
   * Where the values of headers are, by their names: for each its first byte and the one behind its last, for `text` and
   * `digits`; twice 0 where there is none.
   */
  locate(names: readonly Buffer[]): readonly number[] {
    const found = new Array<number>(names.length * 2).fill(0);
    const reader = new VarintReader(this.#buffer, this.#headersAt);
    for (let left = reader.varint(); left > 0; left -= 1) {
      const nameLength = reader.varint();
      const nameAt = reader.position;
      reader.position += nameLength;
      const valueLength = reader.varint();
      const at = reader.position;
      if (valueLength < 0) continue;
      reader.position += valueLength;
      const place = indexOfName(names, this.#buffer, nameAt, nameLength);
      if (place < 0) continue;
      found[place * 2] = at;
      found[place * 2 + 1] = at + valueLength;
    }
    return found;
  }

  /** Text of a stretch that `locate` found. */
  text(from: number, to: number): string {
    return from === to ? '' : this.#buffer.toString('utf8', from, to);
  }

  /** A whole number in decimal digits; -1 where it is none, or beyond 10^15. */
  digits(from: number, to: number): number {
    if (from === to || to - from > 15) return -1;
    let number = 0;
    for (let at = from; at < to; at += 1) {
      const digit = (this.#buffer[at] ?? 0) - 48;
      if (digit < 0 || digit > 9) return -1;
      number = number * 10 + digit;
    }
    return number;
  }

  /** All headers as they are on the wire, count included, those of the patch in the place of any of their names. */
  patchedHeaders({ names, bytes }: HeaderPatch): Buffer {
    const buffer = this.#buffer;
    const reader = new VarintReader(buffer, this.#headersAt);
    const count = reader.varint();
    const out = Buffer.allocUnsafe(this.#end - this.#headersAt + bytes.length + 5);
    // The count is written last, right before what it counts: its length is not known yet.
    let at = 5;
    let kept = 0;
    let keptFrom = reader.position;
    for (let i = 0; i < count; i += 1) {
      const entryAt = reader.position;
      const nameLength = reader.varint();
      const nameAt = reader.position;
      reader.position += nameLength;
      const valueLength = reader.varint();
      if (valueLength > 0) reader.position += valueLength;
      if (indexOfName(names, buffer, nameAt, nameLength) < 0) {
        kept += 1;
        continue;
      }
      at += buffer.copy(out, at, keptFrom, entryAt);
      keptFrom = reader.position;
    }
    at += buffer.copy(out, at, keptFrom, reader.position);
    at += bytes.copy(out, at);
    const total = kept + names.length;
    const from = 5 - sizeOfVarint(total);
    writeVarint(out, from, total);
    return out.subarray(from, at);
  }
}

/** Reads headers at the reader's position. */
export function decodeHeaders(reader: VarintReader): Readonly<Record<string, Buffer>> {
  const count = reader.varint();
  if (count === 0) return NO_HEADERS;
  // Names are anything that a producer made up, `__proto__` too.
  const headers: Record<string, Buffer> = Object.create(null);
  for (let i = 0; i < count; i += 1) {
    const name = readBytes(reader)?.toString('utf8') ?? '';
    const value = readBytes(reader);
    if (value !== null) headers[name] = value;
  }
  return headers;
}

/** Reads bytes with their length before them; a view. */
export function readBytes(reader: VarintReader): Buffer | null {
  const length = reader.varint();
  if (length < 0) return null;
  const from = reader.position;
  reader.position += length;
  return reader.buffer.subarray(from, reader.position);
}

const NO_HEADERS: Readonly<Record<string, Buffer>> = {};

function indexOfName(names: readonly Buffer[], buffer: Buffer, at: number, length: number): number {
  for (let i = 0; i < names.length; i += 1) {
    const name = names[i];
    if (name === undefined || name.length !== length) continue;
    let j = length - 1;
    // From the end: the beginnings are alike.
    while (j >= 0 && name[j] === buffer[at + j]) j -= 1;
    if (j < 0) return i;
  }
  return -1;
}
