/** Longest varint that the writer makes: a length below 2^35. */
const VARINT_BYTES = 5;
/** Up to here a loop over the characters is faster than the call into the engine. */
const SHORT_TEXT = 40;
const TWO_32 = 4_294_967_296;

/**
 * Writes values in ClickHouse's RowBinary: little-endian numbers, text behind its length as a varint (LEB128).
 * Grows as needed; what it wrote is valid until the next `reset`.
 */
export class RowBinaryWriter {
  #buffer: Buffer;
  #position = 0;

  /** @param bytes to begin with. */
  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  get position(): number {
    return this.#position;
  }

  /** Takes back what was written behind `position`. */
  rewind(position: number): void {
    this.#position = position;
  }

  /** What was written between two positions; shares the writer's memory. */
  slice(from: number, to: number): Buffer {
    return this.#buffer.subarray(from, to);
  }

  #reserve(bytes: number): void {
    const needed = this.#position + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#position);
    this.#buffer = larger;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#position++] = value;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#position);
    this.#position += value.length;
  }

  varint(value: number): void {
    this.#reserve(VARINT_BYTES);
    let left = value;
    while (left > 0x7f) {
      this.#buffer[this.#position++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    this.#buffer[this.#position++] = left;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#position = this.#buffer.writeUInt32LE(value, this.#position);
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#position = this.#buffer.writeInt32LE(value, this.#position);
  }

  /** A safe integer as 64 bits. */
  int64(value: number): void {
    this.#reserve(8);
    const high = Math.floor(value / TWO_32);
    const middle = this.#buffer.writeUInt32LE(value - high * TWO_32, this.#position);
    this.#position = this.#buffer.writeInt32LE(high, middle);
  }

  bigint64(value: bigint): void {
    this.#reserve(8);
    this.#position = this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, value), this.#position);
  }

  float32(value: number): void {
    this.#reserve(4);
    this.#position = this.#buffer.writeFloatLE(value, this.#position);
  }

  float64(value: number): void {
    this.#reserve(8);
    this.#position = this.#buffer.writeDoubleLE(value, this.#position);
  }

  /** Bytes behind their length. */
  blob(value: Uint8Array): void {
    this.varint(value.length);
    this.bytes(value);
  }

  /** Text as UTF-8 behind its length; half of a surrogate pair would be replaced: the caller looks for that. */
  text(value: string): void {
    if (value.length <= SHORT_TEXT && this.#shortAscii(value)) return;
    const length = Buffer.byteLength(value);
    this.varint(length);
    this.#reserve(length);
    this.#position += this.#buffer.write(value, this.#position, length, 'utf8');
  }

  #shortAscii(value: string): boolean {
    const { length } = value;
    this.#reserve(1 + length);
    const buffer = this.#buffer;
    const start = this.#position + 1;
    for (let i = 0; i < length; i += 1) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      buffer[start + i] = code;
    }
    buffer[start - 1] = length;
    this.#position = start + length;
    return true;
  }
}
