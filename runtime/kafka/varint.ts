/**
 * Zig-zag varints as Kafka's records use them (the Protocol Buffers encoding): small magnitudes take few bytes.
 * Numbers beyond 32 bits (timestamp deltas) go through a slower path without BigInt, exact up to 2^52.
 */

const INT32 = 0x3fffffff;

/** Bytes that `value`, a 32-bit integer within ±2^30, takes as a zig-zag varint. */
export function sizeOfVarint(value: number): number {
  const z = value >= 0 ? value * 2 : value * -2 - 1;
  if (z < 0x80) return 1;
  if (z < 0x4000) return 2;
  if (z < 0x200000) return 3;
  if (z < 0x10000000) return 4;
  return 5;
}

/** Writes `value`, a 32-bit integer within ±2^30, and returns the position behind it. Room is the caller's concern. */
export function writeVarint(buffer: Uint8Array, at: number, value: number): number {
  let position = at;
  let z = ((value << 1) ^ (value >> 31)) >>> 0;
  while (z > 0x7f) {
    buffer[position++] = (z & 0x7f) | 0x80;
    z >>>= 7;
  }
  buffer[position++] = z;
  return position;
}

/** Bytes that an integer within ±2^52 takes as a zig-zag varlong. */
export function sizeOfVarlong(value: number): number {
  if (value <= INT32 && value >= -INT32) return sizeOfVarint(value);
  let z = value >= 0 ? value * 2 : value * -2 - 1;
  let bytes = 1;
  while (z >= 0x80) {
    z = Math.floor(z / 0x80);
    bytes += 1;
  }
  return bytes;
}

/** Writes an integer within ±2^52 and returns the position behind it. */
export function writeVarlong(buffer: Uint8Array, at: number, value: number): number {
  if (value <= INT32 && value >= -INT32) return writeVarint(buffer, at, value);
  let position = at;
  let z = value >= 0 ? value * 2 : value * -2 - 1;
  while (z >= 0x80) {
    buffer[position++] = (z % 0x80) | 0x80;
    z = Math.floor(z / 0x80);
  }
  buffer[position++] = z;
  return position;
}

/** Reads zig-zag varints of up to 64 bits one after the other; `position` is public so that a caller can skip. */
export class VarintReader {
  readonly buffer: Buffer;
  position: number;

  constructor(buffer: Buffer, position = 0) {
    this.buffer = buffer;
    this.position = position;
  }

  /** A 32-bit value. @throws RangeError behind the end. */
  varint(): number {
    const { buffer } = this;
    let byte = this.#next();
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let z = byte & 0x7f;
    for (let shift = 7; ; shift += 7) {
      if (shift > 28) throw new RangeError('a varint has more than 5 bytes');
      byte = buffer[this.position++] ?? -1;
      if (byte < 0) throw new RangeError('a varint goes beyond the end');
      z |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (z >>> 1) ^ -(z & 1);
    }
  }

  /** A 64-bit value as a number: exact within ±2^52. @throws RangeError behind the end. */
  varlong(): number {
    let z = 0;
    let scale = 1;
    for (let bytes = 0; bytes < 10; bytes += 1) {
      const byte = this.#next();
      z += (byte & 0x7f) * scale;
      if (byte < 0x80) return z % 2 === 0 ? z / 2 : -(z + 1) / 2;
      scale *= 0x80;
    }
    throw new RangeError('a varlong has more than 10 bytes');
  }

  #next(): number {
    const byte = this.buffer[this.position++];
    if (byte === undefined) throw new RangeError('a varint goes beyond the end');
    return byte;
  }
}
