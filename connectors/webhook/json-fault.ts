/**
 * Finds where bytes stop being JSON (RFC 8259). `JSON.parse` decides whether a body is good; this runs only for a
 * bad one, because the engine's message names a position for some faults, not for all, and only as text.
 *
 * The position is that of the first byte that no valid document could have there; the length of the input when it
 * ends too early. Needs valid UTF-8, and nesting that is bounded already (`firstTooDeep`).
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const LITERALS = ['true', 'false', 'null'].map((text) => Buffer.from(text));
const ESCAPES = Buffer.from('"\\/bfnrt');

/** The index after what was read; a negative one is `~position` of the fault. */
type Next = number;

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at += 1;
  }
  return at;
}

/** `at` is the `\`. */
function scanEscape(bytes: Uint8Array, at: number): Next {
  const kind = bytes[at + 1];
  if (kind === undefined) return ~(at + 1);
  if (kind !== 0x75) return ESCAPES.includes(kind) ? at + 2 : ~(at + 1);
  for (let digit = at + 2; digit < at + 6; digit += 1) {
    const byte = bytes[digit];
    if (byte === undefined || !isHexDigit(byte)) return ~digit;
  }
  return at + 6;
}

/** `from` is the opening quote. */
function scanString(bytes: Uint8Array, from: number): Next {
  let at = from + 1;
  while (at < bytes.length) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) return at + 1;
    if (byte < 0x20) return ~at;
    if (byte === BACKSLASH) {
      const next = scanEscape(bytes, at);
      if (next < 0) return next;
      at = next;
    } else {
      at += 1;
    }
  }
  return ~at;
}

function scanDigits(bytes: Uint8Array, from: number): Next {
  let at = from;
  while (isDigit(bytes[at])) at += 1;
  return at === from ? ~at : at;
}

function scanNumber(bytes: Uint8Array, from: number): Next {
  let at = bytes[from] === 0x2d ? from + 1 : from;
  at = bytes[at] === 0x30 ? at + 1 : scanDigits(bytes, at);
  if (at >= 0 && bytes[at] === 0x2e) at = scanDigits(bytes, at + 1);
  if (at >= 0 && (bytes[at] === 0x65 || bytes[at] === 0x45)) {
    const sign = bytes[at + 1] === 0x2b || bytes[at + 1] === 0x2d ? 1 : 0;
    at = scanDigits(bytes, at + 1 + sign);
  }
  return at;
}

function scanLiteral(bytes: Uint8Array, from: number): Next {
  const literal = LITERALS.find((text) => text[0] === bytes[from]);
  if (literal === undefined) return ~from;
  for (let i = 1; i < literal.length; i += 1) {
    if (bytes[from + i] !== literal[i]) return ~(from + i);
  }
  return from + literal.length;
}

function scanScalar(bytes: Uint8Array, at: number): Next {
  const byte = bytes[at];
  if (byte === QUOTE) return scanString(bytes, at);
  if (byte === 0x2d || isDigit(byte)) return scanNumber(bytes, at);
  return scanLiteral(bytes, at);
}

/** A member's name and its colon. */
function scanName(bytes: Uint8Array, at: number): Next {
  if (bytes[at] !== QUOTE) return ~at;
  const end = scanString(bytes, at);
  if (end < 0) return end;
  const colon = skipSpace(bytes, end);
  return bytes[colon] === COLON ? colon + 1 : ~colon;
}

type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | 'separator';

/** Byte offset of the first fault, or undefined when the bytes are JSON. */
export function firstJsonFault(bytes: Uint8Array): number | undefined {
  const closers: number[] = [];
  let expected: Expected = 'value';
  let at = skipSpace(bytes, 0);
  while (at < bytes.length) {
    const byte = bytes[at];
    let next: Next = at + 1;
    if (expected === 'separator') {
      const closer = closers.at(-1);
      if (closer === undefined) return at;
      if (byte === closer) closers.pop();
      else if (byte === COMMA) expected = closer === CLOSE_BRACE ? 'name' : 'value';
      else return at;
    } else if (byte === CLOSE_BRACKET && expected === 'value or ]') {
      closers.pop();
      expected = 'separator';
    } else if (byte === CLOSE_BRACE && expected === 'name or }') {
      closers.pop();
      expected = 'separator';
    } else if (expected === 'name' || expected === 'name or }') {
      next = scanName(bytes, at);
      expected = 'value';
    } else if (byte === OPEN_BRACE) {
      closers.push(CLOSE_BRACE);
      expected = 'name or }';
    } else if (byte === OPEN_BRACKET) {
      closers.push(CLOSE_BRACKET);
      expected = 'value or ]';
    } else {
      next = scanScalar(bytes, at);
      expected = 'separator';
    }
    if (next < 0) return ~next;
    at = skipSpace(bytes, next);
  }
  return expected === 'separator' && closers.length === 0 ? undefined : bytes.length;
}

/**
 * Byte offset of the bracket that opens level `maxDepth + 1`, or undefined. One pass over bytes, before anything is
 * allocated for the nesting.
 */
export function firstTooDeep(bytes: Uint8Array, maxDepth: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (inString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
      if (depth > maxDepth) return at;
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
    }
  }
  return undefined;
}
