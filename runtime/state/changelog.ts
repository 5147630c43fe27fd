import { crc32 } from 'node:zlib';
import { ReachflowError } from '../errors.ts';
import type { ByteKey, StoreDescriptor } from './backend.ts';

/**
 * The packed changelog: what one epoch changed, in one or a few segments, each the value of one Kafka record.
 *
 *     0  'RF'   magic            8  f64  epoch            20  stores: count, then name and version of each
 *     2  u8     format           16 u16  part, from 0         entries: store, key, value length + 1, value
 *     3  u8     0                18 u16  parts                (0 deletes)
 *     4  u32    CRC-32 of all that follows
 *
 * Fixed numbers are little-endian, others and all lengths varints (LEB128). Epochs are numbered without gaps, so
 * a missing segment is noticed. A segment names all stores that its task had: one that is not among them was empty.
 */
const FORMAT = 1;
const HEADER_BYTES = 20;
const MAX_PARTS = 0xffff;

/** A segment is closed before it gets larger than this. */
export const SEGMENT_BYTES = 512 * 1024;
/** Largest entry, which then has a segment of its own: a broker takes 1 MB a batch by default. */
export const MAX_ENTRY_BYTES = 900_000;

/** Where an entry's value is, once its segment is closed. */
export interface Placed {
  bytes: Buffer | undefined;
  start: number;
  end: number;
}

/** Where a segment is in the log. */
export interface SegmentNumber {
  readonly epoch: number;
  readonly part: number;
  readonly parts: number;
}

export interface Segment extends SegmentNumber {
  readonly stores: readonly StoreDescriptor[];
  /** The stores as bytes: equal lists have equal bytes. */
  readonly dictionary: Buffer;
  /** Calls `onEntry` for each entry, in order; `start` is -1 where it deletes. @throws as `readSegment`. */
  forEach(
    onEntry: (store: number, key: ByteKey, bytes: Buffer, start: number, end: number) => void,
  ): void;
}

/** Writes an epoch's entries into segments, through one buffer that is used again and again. */
export class SegmentWriter {
  /** Where a reserved value is written to; another one after the next `reserve`. */
  buffer = Buffer.allocUnsafeSlow(64 * 1024);
  readonly #dictionary: Buffer;
  readonly #stores: readonly StoreDescriptor[];
  #position = 0;
  #epoch = 0;
  #sealed: Buffer[] = [];
  #placed: Placed[] = [];

  constructor(stores: readonly StoreDescriptor[]) {
    this.#stores = stores;
    this.#dictionary = encodeDictionary(stores);
  }

  /** Starts the segments of an epoch. */
  begin(epoch: number): void {
    this.#epoch = epoch;
    this.#sealed = [];
    this.#placed = [];
    this.#open();
  }

  /**
   * Makes room for an entry whose value has `length` bytes (-1: it is deleted). Returns where in `buffer` the value
   * goes; `placed` learns where it is in the segment.
   * @throws ReachflowError `STATE_VALUE_TOO_LARGE` (domain user).
   */
  reserve(store: number, key: ByteKey, length: number, placed: Placed | undefined): number {
    const most = 15 + key.length + Math.max(0, length);
    if (most > MAX_ENTRY_BYTES)
      throw tooLarge(this.#stores[store]?.name ?? String(store), key, most);
    if (this.#position + most > SEGMENT_BYTES && this.#position > this.#emptyBytes) {
      this.#seal();
      this.#open();
    }
    if (this.#position + most > this.buffer.length) this.#grow(this.#position + most);
    const { buffer } = this;
    let at = writeVarint(buffer, store, this.#position);
    at = writeVarint(buffer, key.length, at);
    buffer.write(key, at, 'latin1');
    at = writeVarint(buffer, length + 1, at + key.length);
    this.#position = length > 0 ? at + length : at;
    if (placed !== undefined) {
      placed.start = at;
      placed.end = this.#position;
      this.#placed.push(placed);
    }
    return at;
  }

  /** The segments of the epoch; none when there was no entry. */
  finish(): Buffer[] {
    if (this.#position > this.#emptyBytes) this.#seal();
    const segments = this.#sealed;
    this.#sealed = [];
    if (segments.length > MAX_PARTS) throw new Error(`an epoch has ${segments.length} segments`);
    for (const [part, segment] of segments.entries()) {
      segment.writeUInt16LE(part, 16);
      segment.writeUInt16LE(segments.length, 18);
      segment.writeUInt32LE(crc32(segment.subarray(8)), 4);
    }
    return segments;
  }

  get #emptyBytes(): number {
    return HEADER_BYTES + this.#dictionary.length;
  }

  #open(): void {
    if (this.buffer.length < this.#emptyBytes) this.#grow(this.#emptyBytes);
    this.buffer.write('RF', 0, 'latin1');
    this.buffer[2] = FORMAT;
    this.buffer[3] = 0;
    this.buffer.writeDoubleLE(this.#epoch, 8);
    this.#dictionary.copy(this.buffer, HEADER_BYTES);
    this.#position = this.#emptyBytes;
  }

  #seal(): void {
    const segment = Buffer.from(this.buffer.subarray(0, this.#position));
    for (const placed of this.#placed) placed.bytes = segment;
    this.#placed = [];
    this.#sealed.push(segment);
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.buffer.length));
    this.buffer.copy(larger, 0, 0, this.#position);
    this.buffer = larger;
  }
}

/**
 * Checks a segment and makes it readable.
 * @param where names its place in an error, such as topic, partition and offset.
 * @throws ReachflowError `CHANGELOG_CORRUPT`.
 */
export function readSegment(bytes: Buffer, where: string): Segment {
  if (bytes.length < HEADER_BYTES) throw corrupt(where, `has only ${bytes.length} bytes`);
  if (bytes[0] !== 0x52 || bytes[1] !== 0x46) throw corrupt(where, 'is no changelog segment');
  if (bytes[2] !== FORMAT) throw corrupt(where, `has format ${bytes[2]}, but ${FORMAT} is known`);
  if (crc32(bytes.subarray(8)) !== bytes.readUInt32LE(4))
    throw corrupt(where, 'does not match its checksum');
  const epoch = bytes.readDoubleLE(8);
  const part = bytes.readUInt16LE(16);
  const parts = bytes.readUInt16LE(18);
  if (!Number.isSafeInteger(epoch) || epoch < 0 || part >= parts)
    throw corrupt(where, `has number ${epoch}, part ${part} of ${parts}`);
  const cursor = new Cursor(bytes, HEADER_BYTES, where);
  const count = cursor.varint();
  const stores: StoreDescriptor[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = cursor.text(cursor.varint());
    stores.push({ name: Buffer.from(name, 'latin1').toString('utf8'), version: cursor.varint() });
  }
  const first = cursor.position;
  return {
    epoch,
    part,
    parts,
    stores,
    dictionary: bytes.subarray(HEADER_BYTES, first),
    forEach: (onEntry) => {
      const entries = new Cursor(bytes, first, where);
      while (entries.position < bytes.length) {
        const store = entries.varint();
        if (store >= count) throw corrupt(where, `has an entry of store ${store} of ${count}`);
        const key = entries.text(entries.varint());
        const length = entries.varint() - 1;
        const start = length < 0 ? -1 : entries.position;
        if (length > 0) entries.skip(length);
        onEntry(store, key, bytes, start, entries.position);
      }
    },
  };
}

/** Whether `next` may follow `last`: undefined when it may, else why not. */
export function gapBetween(
  last: SegmentNumber | undefined,
  next: SegmentNumber,
): string | undefined {
  const at = `epoch ${next.epoch} part ${next.part + 1} of ${next.parts}`;
  if (last === undefined) return next.part === 0 ? undefined : `the log begins with ${at}`;
  const whole = last.part + 1 === last.parts;
  const follows = whole
    ? next.epoch === last.epoch + 1 && next.part === 0
    : next.epoch === last.epoch && next.part === last.part + 1 && next.parts === last.parts;
  if (follows) return undefined;
  return `${at} follows epoch ${last.epoch} part ${last.part + 1} of ${last.parts}`;
}

/** @throws nothing: makes the error of what `where` names. */
export function corrupt(where: string, what: string): ReachflowError {
  return new ReachflowError(`changelog: ${where} ${what}`, {
    code: 'CHANGELOG_CORRUPT',
    domain: 'internal',
    hint: 'Restore the task from a checkpoint that is newer than this, or reprocess its input.',
  });
}

function tooLarge(store: string, key: ByteKey, bytes: number): ReachflowError {
  return new ReachflowError(
    `an entry of store ${store} has ${bytes} bytes, more than ${MAX_ENTRY_BYTES}; key ${key.slice(0, 40)}`,
    {
      code: 'STATE_VALUE_TOO_LARGE',
      domain: 'user',
      hint: 'Keep less in one entry: split it over several keys, or store a reference.',
    },
  );
}

function encodeDictionary(stores: readonly StoreDescriptor[]): Buffer {
  const names = stores.map(({ name }) => Buffer.from(name, 'utf8'));
  const bytes = Buffer.alloc(5 + names.reduce((sum, name) => sum + name.length + 10, 0));
  let at = writeVarint(bytes, stores.length, 0);
  for (const [index, name] of names.entries()) {
    at = writeVarint(bytes, name.length, at);
    at += name.copy(bytes, at);
    at = writeVarint(bytes, stores[index]?.version ?? 0, at);
  }
  return bytes.subarray(0, at);
}

function writeVarint(target: Buffer, value: number, offset: number): number {
  let at = offset;
  let rest = value;
  while (rest > 0x7f) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[at++] = rest;
  return at;
}

/** Reads within the bounds of a segment. */
class Cursor {
  position: number;
  readonly #bytes: Buffer;
  readonly #where: string;

  constructor(bytes: Buffer, position: number, where: string) {
    this.#bytes = bytes;
    this.position = position;
    this.#where = where;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.position];
      if (byte === undefined) throw corrupt(this.#where, 'ends within a number');
      this.position += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw corrupt(this.#where, 'has a number that is too long');
  }

  text(length: number): string {
    const from = this.position;
    this.skip(length);
    return this.#bytes.toString('latin1', from, this.position);
  }

  skip(length: number): void {
    this.position += length;
    if (this.position > this.#bytes.length) throw corrupt(this.#where, 'ends within an entry');
  }
}
