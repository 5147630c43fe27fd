import { malformedText } from '../record.ts';

/** Element types of the arrays that a statement gets, with their OIDs in `pg_type`, fixed for built-in types. */
export const WIRE_OIDS = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int4: 23,
  text: 25,
  float4: 700,
  float8: 701,
  date: 1082,
  timestamptz: 1184,
} as const;

export type Wire = keyof typeof WIRE_OIDS;

/** What is wrong with a value, for the error of its record; undefined when it was written. */
export type ValueFault = string | undefined;

/** Up to here, characters are copied in JavaScript: a call into the runtime costs more than they do. */
const SHORT = 48;
const TWO_32 = 4_294_967_296;
/** 2000-01-01, where Postgres' time begins: ms, and days, since the epoch. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
const POSTGRES_EPOCH_DAYS = 10_957;
const MAX_INT64 = 2n ** 63n - 1n;
/** ms whose microseconds are still exact in a double. */
const EXACT_MS = Number.MAX_SAFE_INTEGER / 1_000;

const NUL = 'holds the character U+0000, which Postgres text cannot store';

/** What Postgres text cannot hold unaltered. */
export function textFault(text: string): ValueFault {
  return text.includes('\0') ? NUL : malformedText(text);
}

/**
 * One-dimensional Postgres arrays in binary form, one after the other in one buffer (PostgreSQL source, `array_recv` in
 * arrayfuncs.c and the `…_recv` functions of the element types). The server takes them with less work than array
 * literals, and building them needs no quoting. A writer serves one batch.
 */
export class BinaryArrays {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;
  #start = 0;

  /** @param capacity bytes at first; it grows. */
  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafe(Math.max(capacity, 1_024));
    this.#view = viewOf(this.#bytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Starts an array of so many elements, not 0. */
  begin(wire: Wire, count: number): void {
    this.#reserve(20);
    this.#start = this.#length;
    // Dimensions, whether there may be nulls, element type, then of the one dimension: size and lower bound.
    for (const word of [1, 1, WIRE_OIDS[wire], count, 1]) this.#int32(word);
  }

  /** The array since `begin`. Not to be used before the last array is complete: growing moves the bytes. */
  end(): readonly [start: number, end: number] {
    return [this.#start, this.#length];
  }

  slice([start, end]: readonly [start: number, end: number]): Buffer {
    return this.#bytes.subarray(start, end);
  }

  null(): undefined {
    this.#reserve(4);
    this.#int32(-1);
  }

  bool(value: boolean): undefined {
    this.#reserve(5);
    this.#int32(1);
    this.#bytes[this.#length++] = value ? 1 : 0;
  }

  int4(value: number): undefined {
    this.#reserve(8);
    this.#int32(4);
    this.#int32(value);
  }

  /** A whole number that a double holds exactly. */
  int8(value: number): undefined {
    this.#reserve(12);
    this.#int32(8);
    const high = Math.floor(value / TWO_32);
    this.#int32(high);
    this.#view.setUint32(this.#length, value - high * TWO_32);
    this.#length += 4;
  }

  bigint(value: bigint): ValueFault {
    if (value > MAX_INT64 || value < -MAX_INT64 - 1n) return 'is beyond 64 bits';
    this.#reserve(12);
    this.#int32(8);
    this.#view.setBigInt64(this.#length, value);
    this.#length += 8;
    return undefined;
  }

  float4(value: number): ValueFault {
    if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
      return `is ${value}, out of range for real`;
    }
    this.#reserve(8);
    this.#int32(4);
    this.#view.setFloat32(this.#length, value);
    this.#length += 4;
    return undefined;
  }

  float8(value: number): undefined {
    this.#reserve(12);
    this.#int32(8);
    this.#view.setFloat64(this.#length, value);
    this.#length += 8;
  }

  /** @param ms since the epoch. */
  timestamptz(ms: number): ValueFault {
    const since = ms - POSTGRES_EPOCH_MS;
    if (Math.abs(since) > EXACT_MS) return this.bigint(BigInt(since) * 1_000n);
    this.int8(since * 1_000);
    return undefined;
  }

  /** @param days since the epoch. */
  date(days: number): undefined {
    this.int4(days - POSTGRES_EPOCH_DAYS);
  }

  bytea(value: Uint8Array): undefined {
    this.#reserve(4 + value.length);
    this.#int32(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): ValueFault {
    const { length } = value;
    this.#reserve(4 + length * 3);
    if (length <= SHORT && this.#ascii(value)) return undefined;
    const fault = textFault(value);
    if (fault !== undefined) return fault;
    const size = this.#bytes.write(value, this.#length + 4, 'utf8');
    this.#int32(size);
    this.#length += size;
    return undefined;
  }

  /** False, with nothing written, when some character is no ASCII, or is U+0000. */
  #ascii(value: string): boolean {
    const bytes = this.#bytes;
    let at = this.#length + 4;
    for (let i = 0; i < value.length; i += 1) {
      const code = value.charCodeAt(i);
      if (code === 0 || code > 127) return false;
      bytes[at] = code;
      at += 1;
    }
    this.#int32(value.length);
    this.#length = at;
    return true;
  }

  #int32(value: number): void {
    this.#view.setInt32(this.#length, value);
    this.#length += 4;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}
