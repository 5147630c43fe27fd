import type { FieldType } from '../map.ts';

/**
 * Cells that are of their type as they stand, byte by byte: most are, and a string, a pattern and a copy for each cost
 * several times as much as all the rest of a row. What is not plain goes through `convert`, which decides.
 */

/** How a plain cell is written: as it is, in quotes, or in quotes with milliseconds put in. */
export const NOT_PLAIN = 0;
export const BARE = 1;
export const QUOTED = 2;
export const QUOTED_SECONDS = 3;

const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const UNDERSCORE = 0x5f;
const AT = 0x40;
const ZERO = 0x30;
/** Whole numbers of JavaScript are exact up to 15 digits; longer ones keep their digits in `convert`. */
const MAX_DIGITS = 15;
const MAX_LOCAL = 64;
const MAX_EMAIL = 254;
const MAX_LABEL = 63;
const DAY_MS = 86_400_000;

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= 0x39;
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** Which way a cell of a type may be written without looking further; NOT_PLAIN for `convert` to decide. */
export function plainForm(type: FieldType, bytes: Buffer, from: number, to: number): number {
  switch (type) {
    case 'integer':
      return isPlainInteger(bytes, from, to) ? BARE : NOT_PLAIN;
    case 'phone':
      return isPlainPhone(bytes, from, to) ? QUOTED : NOT_PLAIN;
    case 'email':
      return isPlainEmail(bytes, from, to) ? QUOTED : NOT_PLAIN;
    case 'date':
      return to - from === 10 && plainTime(bytes, from, to) !== undefined ? QUOTED : NOT_PLAIN;
    case 'timestamp': {
      const length = to - from;
      if (length === 10 || plainTime(bytes, from, to) === undefined) return NOT_PLAIN;
      return length === 24 ? QUOTED : QUOTED_SECONDS;
    }
    default:
      return NOT_PLAIN;
  }
}

function isPlainInteger(bytes: Buffer, from: number, to: number): boolean {
  const start = bytes[from] === MINUS ? from + 1 : from;
  const digits = to - start;
  if (digits < 1 || digits > MAX_DIGITS) return false;
  if (bytes[start] === ZERO && (digits > 1 || start > from)) return false;
  for (let i = start; i < to; i += 1) if (!isDigit(bytes[i])) return false;
  return true;
}

/** E.164 (ITU-T) without anything between the digits. */
function isPlainPhone(bytes: Buffer, from: number, to: number): boolean {
  const digits = to - from - 1;
  if (bytes[from] !== PLUS || bytes[from + 1] === ZERO || digits < 7 || digits > 15) return false;
  for (let i = from + 1; i < to; i += 1) if (!isDigit(bytes[i])) return false;
  return true;
}

/** Letters, digits, `.`, `_`, `+` and `-` at a domain of letters, digits and `-`: each of them is an address. */
function isPlainEmail(bytes: Buffer, from: number, to: number): boolean {
  if (to - from > MAX_EMAIL) return false;
  let at = from;
  let previous = DOT;
  for (; at < to; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === AT) break;
    const isDot = byte === DOT;
    if (isDot && previous === DOT) return false;
    if (
      !isDot &&
      !isLetter(byte) &&
      !isDigit(byte) &&
      byte !== PLUS &&
      byte !== MINUS &&
      byte !== UNDERSCORE
    )
      return false;
    previous = byte;
  }
  const local = at - from;
  return local > 0 && local <= MAX_LOCAL && previous !== DOT && isPlainDomain(bytes, at + 1, to);
}

function isPlainDomain(bytes: Buffer, from: number, to: number): boolean {
  let start = from;
  let labels = 0;
  for (let at = from; at <= to; at += 1) {
    const byte = at < to ? (bytes[at] ?? 0) : DOT;
    if (byte !== DOT) {
      if (!isLetter(byte) && !isDigit(byte) && byte !== MINUS) return false;
      continue;
    }
    const length = at - start;
    if (length < 1 || length > MAX_LABEL || bytes[start] === MINUS || bytes[at - 1] === MINUS)
      return false;
    labels += 1;
    if (at === to) return labels > 1 && length > 1 && isLetters(bytes, start, to);
    start = at + 1;
  }
  return false;
}

function isLetters(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i += 1) if (!isLetter(bytes[i] ?? 0)) return false;
  return true;
}

/** `2026-05-06`, and with `T07:08:09Z` or `T07:08:09.123Z`, as ms since the epoch; undefined for any other text. */
export function plainTime(bytes: Buffer, from: number, to: number): number | undefined {
  const length = to - from;
  if (length !== 10 && length !== 20 && length !== 24) return undefined;
  const year = two(bytes, from) * 100 + two(bytes, from + 2);
  const month = two(bytes, from + 5);
  const day = two(bytes, from + 8);
  if (bytes[from + 4] !== MINUS || bytes[from + 7] !== MINUS) return undefined;
  // From 1970 on: what is older is rare, and for `convert`.
  if (!(year >= 1_970 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)))
    return undefined;
  const midnight = daysSince1970(year, month, day) * DAY_MS;
  if (length === 10) return midnight;
  if (bytes[from + 10] !== 0x54 || bytes[to - 1] !== 0x5a) return undefined;
  if (bytes[from + 13] !== 0x3a || bytes[from + 16] !== 0x3a) return undefined;
  const hour = two(bytes, from + 11);
  const minute = two(bytes, from + 14);
  const second = two(bytes, from + 17);
  if (!(hour <= 23 && minute <= 59 && second <= 59)) return undefined;
  const ms = midnight + ((hour * 60 + minute) * 60 + second) * 1_000;
  if (length === 20) return ms;
  const tenths = two(bytes, from + 20);
  const last = bytes[from + 22];
  if (bytes[from + 19] !== DOT || !isDigit(last) || Number.isNaN(tenths)) return undefined;
  return ms + tenths * 10 + ((last ?? ZERO) - ZERO);
}

/** Two digits as a number; NaN when they are none. */
function two(bytes: Buffer, at: number): number {
  const high = bytes[at];
  const low = bytes[at + 1];
  if (!isDigit(high) || !isDigit(low)) return Number.NaN;
  return ((high ?? 0) - ZERO) * 10 + (low ?? 0) - ZERO;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days of the proleptic Gregorian calendar: a year begins in March, so that its last day is the leap day. */
function daysSince1970(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  return era * 146_097 + yearOfEra * 365 + leapDays + dayOfYear - 719_468;
}
