import { ReachflowError } from '../errors.ts';
import { type ByteKey, MAX_KEY_BYTES } from './backend.ts';

const NOT_ASCII = /[^\0-\x7f]/;

/** The UTF-8 bytes of a text, so that keys are ordered by code point. Lone surrogates become U+FFFD. */
export function bytesOfText(text: string): ByteKey {
  return NOT_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** The text of `bytesOfText`. */
export function textOfBytes(key: ByteKey): string {
  return NOT_ASCII.test(key) ? Buffer.from(key, 'latin1').toString('utf8') : key;
}

/** @throws ReachflowError `STATE_KEY_TOO_LONG` (domain user). */
export function checkKeyLength(key: ByteKey, store: string): void {
  if (key.length <= MAX_KEY_BYTES) return;
  throw new ReachflowError(
    `a key of store ${store} has ${key.length} bytes, more than ${MAX_KEY_BYTES}: ${key.slice(0, 40)}…`,
    {
      code: 'STATE_KEY_TOO_LONG',
      domain: 'user',
      hint: 'Use a shorter key, e.g. a hash of it.',
    },
  );
}

/** The first key after `key`. */
export function successor(key: ByteKey): ByteKey {
  return `${key}\0`;
}

/** The first key after all keys that begin with `prefix`; undefined when there is none. */
export function prefixEnd(prefix: ByteKey): ByteKey | undefined {
  let last = prefix.length - 1;
  while (last >= 0 && prefix.charCodeAt(last) === 0xff) last -= 1;
  if (last < 0) return undefined;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

const scratch = Buffer.alloc(8);
/** Window starts repeat, so few of them are encoded again and again. */
const MAX_MEMO = 256;
const memo = new Map<number, ByteKey>();

/** A number in 8 bytes that are ordered as numbers are: IEEE 754 with the sign bit turned, and all bits below 0. */
export function bytesOfNumber(value: number): ByteKey {
  const known = memo.get(value);
  if (known !== undefined) return known;
  // -0 and 0 are one key.
  scratch.writeDoubleBE(value === 0 ? 0 : value, 0);
  const high = scratch.readUInt32BE(0);
  if (high >>> 31 === 1) {
    scratch.writeUInt32BE(~high >>> 0, 0);
    scratch.writeUInt32BE(~scratch.readUInt32BE(4) >>> 0, 4);
  } else {
    scratch.writeUInt32BE((high | 0x80000000) >>> 0, 0);
  }
  const bytes = scratch.toString('latin1', 0, 8);
  if (memo.size >= MAX_MEMO) memo.clear();
  memo.set(value, bytes);
  return bytes;
}

/** The number of `bytesOfNumber` at `at`. */
export function numberOfBytes(key: ByteKey, at: number): number {
  scratch.write(key.slice(at, at + 8), 0, 'latin1');
  const high = scratch.readUInt32BE(0);
  if (high >>> 31 === 1) {
    scratch.writeUInt32BE(high & 0x7fffffff, 0);
  } else {
    scratch.writeUInt32BE(~high >>> 0, 0);
    scratch.writeUInt32BE(~scratch.readUInt32BE(4) >>> 0, 4);
  }
  return scratch.readDoubleBE(0);
}

/** A key in front of others: two zero bytes end it, a zero byte within is followed by 0xff. Order is kept. */
export function bytesOfPart(key: ByteKey): ByteKey {
  return `${key.includes('\0') ? key.replaceAll('\0', '\0\xff') : key}\0\0`;
}
