import { isUtf8 } from 'node:buffer';
import { firstJsonFault, firstTooDeep } from './json-fault.ts';

export interface TextPosition {
  /** 1-based; lines end with LF. */
  readonly line: number;
  /** 1-based, in Unicode characters. */
  readonly column: number;
  /** 0-based. */
  readonly byte: number;
}

export type ParsedBody =
  | { readonly ok: true; readonly text: string; readonly value: unknown }
  | {
      readonly ok: false;
      readonly code: 'JSON_INVALID' | 'UTF8_INVALID' | 'JSON_TOO_DEEP';
      readonly reason: string;
      readonly position: TextPosition;
    };

/** Where a text begins in the body that it is part of. */
export interface TextOrigin {
  /** 1-based. */
  readonly line: number;
  /** 0-based. */
  readonly byte: number;
}

const START: TextOrigin = { line: 1, byte: 0 };
const LF = 0x0a;

/** Line and column of a byte offset. The bytes before it must be valid UTF-8. */
export function positionOf(bytes: Uint8Array, byte: number): TextPosition {
  let line = 1;
  let lineStart = 0;
  for (let at = bytes.indexOf(LF); at >= 0 && at < byte; at = bytes.indexOf(LF, at + 1)) {
    line += 1;
    lineStart = at + 1;
  }
  let column = 1;
  for (let at = lineStart; at < byte; at += 1) {
    const isContinuation = ((bytes[at] ?? 0) & 0xc0) === 0x80;
    if (!isContinuation) column += 1;
  }
  return { line, column, byte };
}

/** Offset of the first byte at which the input cannot be UTF-8; its length when only the last character is cut. */
export function firstInvalidUtf8(bytes: Uint8Array): number {
  const isGoodSoFar = (length: number): boolean => {
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  if (isGoodSoFar(bytes.length)) return bytes.length;
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    if (isGoodSoFar(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** What stands at a fault, for people: a printable character in quotes, otherwise the byte in hex. */
function describeByte(bytes: Uint8Array, at: number): string {
  const byte = bytes[at];
  if (byte === undefined) return 'end of the body';
  if (byte > 0x20 && byte < 0x7f) return `'${String.fromCharCode(byte)}'`;
  return `byte 0x${byte.toString(16).padStart(2, '0')}`;
}

/**
 * Parses a body as JSON. The text is what goes on; the value is only looked into. Members named `__proto__` or
 * `constructor` are own properties of the value and harmless: nothing merges or assigns it.
 * @param maxDepth deepest nesting that is parsed.
 * @param origin where the bytes begin, when they are one line of a body: positions are those in the body.
 */
export function parseBody(bytes: Buffer, maxDepth: number, origin = START): ParsedBody {
  if (!isUtf8(bytes)) {
    const byte = firstInvalidUtf8(bytes);
    return fault(
      bytes,
      origin,
      'UTF8_INVALID',
      byte,
      `not UTF-8: unexpected ${describeByte(bytes, byte)}`,
    );
  }
  const deep = firstTooDeep(bytes, maxDepth);
  if (deep !== undefined) {
    return fault(bytes, origin, 'JSON_TOO_DEEP', deep, `nested deeper than ${maxDepth} levels`);
  }
  const text = bytes.toString('utf8');
  try {
    return { ok: true, text, value: JSON.parse(text) as unknown };
  } catch {
    const byte = firstJsonFault(bytes) ?? bytes.length;
    return fault(
      bytes,
      origin,
      'JSON_INVALID',
      byte,
      `not JSON: unexpected ${describeByte(bytes, byte)}`,
    );
  }
}

function fault(
  bytes: Uint8Array,
  origin: TextOrigin,
  code: 'JSON_INVALID' | 'UTF8_INVALID' | 'JSON_TOO_DEEP',
  byte: number,
  what: string,
): ParsedBody {
  const { line, column } = positionOf(bytes, byte);
  const position = { line: line + origin.line - 1, column, byte: byte + origin.byte };
  const where = `line ${position.line}, column ${column} (byte ${position.byte})`;
  return { ok: false, code, reason: `the body is ${what} at ${where}`, position };
}
