import { BARE, QUOTED_SECONDS } from './plain-cells.ts';

const INITIAL_BYTES = 16_384;
const HEX = Buffer.from('0123456789abcdef', 'latin1');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Longer ones are cheaper to copy by the runtime. */
const SHORT = 24;

/** Escapes of RFC 8259 that are one letter. */
const LETTERS: Readonly<Record<number, number>> = {
  8: 0x62,
  9: 0x74,
  10: 0x6e,
  12: 0x66,
  13: 0x72,
};

/** Writes a JSON text as UTF-8 into a buffer of its own, which the next text uses again. */
export class JsonWriter {
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #at = 0;

  /** What was written, up to `length`. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  get length(): number {
    return this.#at;
  }

  reset(): void {
    this.#at = 0;
  }

  /** Forgets what came after `length`. */
  truncate(length: number): void {
    this.#at = length;
  }

  /** Bytes of JSON as they are. */
  raw(bytes: Buffer, from = 0, to = bytes.length): void {
    const length = to - from;
    this.#reserve(length);
    const buffer = this.#buffer;
    let at = this.#at;
    if (length > SHORT) {
      bytes.copy(buffer, at, from, to);
      this.#at = at + length;
      return;
    }
    for (let i = from; i < to; i += 1) {
      buffer[at] = bytes[i] ?? 0;
      at += 1;
    }
    this.#at = at;
  }

  /** JSON as text. */
  json(text: string): void {
    this.#reserve(text.length * 3);
    this.#at += this.#buffer.write(text, this.#at);
  }

  /**
   * UTF-8 text as a JSON string.
   * @param doubled byte that stands there twice for each one that is meant; -1 for none.
   */
  string(bytes: Buffer, from: number, to: number, doubled: number): void {
    this.#reserve((to - from) * 6 + 2);
    const buffer = this.#buffer;
    let at = this.#at;
    buffer[at] = QUOTE;
    at += 1;
    for (let i = from; i < to; i += 1) {
      const byte = bytes[i] ?? 0;
      if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH && byte !== doubled) {
        buffer[at] = byte;
        at += 1;
        continue;
      }
      if (byte === doubled) i += 1;
      at = escaped(buffer, at, byte);
    }
    buffer[at] = QUOTE;
    this.#at = at + 1;
  }

  /** A cell in the form that `plainForm` found for it. */
  plain(form: number, bytes: Buffer, from: number, to: number): void {
    this.#reserve(to - from + 6);
    const buffer = this.#buffer;
    let at = this.#at;
    if (form !== BARE) {
      buffer[at] = QUOTE;
      at += 1;
    }
    const end = form === QUOTED_SECONDS ? to - 1 : to;
    for (let i = from; i < end; i += 1) {
      buffer[at] = bytes[i] ?? 0;
      at += 1;
    }
    if (form === QUOTED_SECONDS) at += buffer.write('.000Z', at, 'latin1');
    if (form !== BARE) {
      buffer[at] = QUOTE;
      at += 1;
    }
    this.#at = at;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

function escaped(buffer: Buffer, from: number, byte: number): number {
  let at = from;
  if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) {
    buffer[at] = byte;
    return at + 1;
  }
  buffer[at] = BACKSLASH;
  at += 1;
  const letter = byte < 0x20 ? LETTERS[byte] : byte;
  if (letter !== undefined) {
    buffer[at] = letter;
    return at + 1;
  }
  buffer[at] = 0x75;
  buffer[at + 1] = 0x30;
  buffer[at + 2] = 0x30;
  buffer[at + 3] = HEX[byte >> 4] ?? 0;
  buffer[at + 4] = HEX[byte & 15] ?? 0;
  return at + 5;
}
