import { INCOMPLETE } from './csv-scanner.ts';

/** The array has no further element. */
export const ARRAY_END = -2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const MAX_KEY_BYTES = 65_536;

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Where the last element that was found lies. */
export interface Element {
  from: number;
  to: number;
  /** Line breaks before its first byte that were passed over, and those in it. */
  breaksBefore: number;
  breaksWithin: number;
}

/**
 * Finds the next element of an array, without looking at what is in it: brackets and strings only.
 * @param at behind the opening bracket, or behind an element.
 * @returns the position behind the element, INCOMPLETE, or ARRAY_END; `element` says where it is.
 */
export function nextElement(buffer: Buffer, at: number, end: number, element: Element): number {
  let from = at;
  element.breaksBefore = 0;
  element.breaksWithin = 0;
  while (from < end && (isSpace(buffer[from]) || buffer[from] === COMMA)) {
    if (buffer[from] === 0x0a) element.breaksBefore += 1;
    from += 1;
  }
  if (from >= end) return INCOMPLETE;
  if (buffer[from] === CLOSE_BRACKET) return ARRAY_END;
  let depth = 0;
  let isString = false;
  for (let i = from; i < end; i += 1) {
    const byte = buffer[i];
    if (isString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) isString = false;
    } else if (byte === QUOTE) {
      isString = true;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1;
    } else if (byte === 0x0a) {
      element.breaksWithin += 1;
    } else if (byte === COMMA && depth === 0) {
      return found(element, from, i);
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (depth === 0) return found(element, from, i);
      depth -= 1;
      if (depth === 0) return found(element, from, i + 1);
    }
  }
  return INCOMPLETE;
}

function found(element: Element, from: number, to: number): number {
  element.from = from;
  element.to = to;
  return to;
}

/**
 * Looks for the array that a pointer names, byte by byte and however large what comes before it is.
 * Only objects are entered: a pointer into an array finds nothing.
 */
export class ArraySeeker {
  /** What the document has instead of the array; undefined as long as it may come. */
  problem: string | undefined;
  readonly #parts: readonly string[];
  /** Containers that are open. */
  #depth = 0;
  /** Those of them that lie on the pointer's path. */
  #path = 0;
  #isString = false;
  #isEscaped = false;
  #expectsKey = false;
  /** The key before the value is the pointer's next part. */
  #isNext: boolean;
  #key: number[] = [];
  #lastKey = '';

  constructor(parts: readonly string[]) {
    this.#parts = parts;
    this.#isNext = true;
  }

  /** @returns the position behind the array's bracket, or INCOMPLETE: go on with what follows `end`. */
  seek(buffer: Buffer, at: number, end: number): number {
    for (let i = at; i < end && this.problem === undefined; i += 1) {
      const byte = buffer[i] ?? 0;
      if (this.#isString) this.#inString(byte);
      else if (this.#value(byte)) return i + 1;
    }
    return INCOMPLETE;
  }

  #inString(byte: number): void {
    const isKey = this.#expectsKey;
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) {
      this.#isString = false;
      if (isKey) this.#lastKey = Buffer.from(this.#key).toString('utf8');
      return;
    }
    if (isKey && this.#key.length < MAX_KEY_BYTES) this.#key.push(byte);
  }

  /** Takes a byte outside of strings. @returns whether it opens the array. */
  #value(byte: number): boolean {
    if (isSpace(byte)) return false;
    const isOnPath = this.#depth === this.#path;
    switch (byte) {
      case QUOTE:
        this.#isString = true;
        this.#key = [];
        if (isOnPath && this.#isNext) this.#mismatch();
        return false;
      case COLON:
        if (isOnPath) this.#keyEnded();
        return false;
      case COMMA:
        if (isOnPath) {
          this.#expectsKey = true;
          this.#isNext = false;
        }
        return false;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        return this.#open(byte, isOnPath && this.#isNext);
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        this.#depth -= 1;
        if (this.#depth < this.#path) this.problem = `it has nothing at /${this.#parts.join('/')}`;
        return false;
      default:
        if (isOnPath && this.#isNext) this.#mismatch();
        return false;
    }
  }

  #keyEnded(): void {
    if (!this.#expectsKey) return;
    this.#expectsKey = false;
    this.#isNext = unescaped(this.#lastKey) === this.#parts[this.#path - 1];
  }

  #open(byte: number, isNext: boolean): boolean {
    this.#depth += 1;
    if (!isNext) {
      this.#expectsKey = false;
      return false;
    }
    const isTarget = this.#path === this.#parts.length;
    if (byte === OPEN_BRACKET) {
      if (isTarget) return true;
      this.#mismatch();
      return false;
    }
    if (isTarget) {
      this.#mismatch();
      return false;
    }
    this.#path += 1;
    this.#expectsKey = true;
    this.#isNext = false;
    return false;
  }

  #mismatch(): void {
    const where = this.#parts.length === 0 ? 'it' : `what it has at /${this.#parts.join('/')}`;
    this.problem = `${where} is no array`;
  }
}

/** A key as it is written may have escapes. */
function unescaped(key: string): string {
  if (!key.includes('\\')) return key;
  try {
    return String(JSON.parse(`"${key}"`));
  } catch {
    return key;
  }
}
