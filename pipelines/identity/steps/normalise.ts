import { domainToASCII } from 'node:url';
import {
  type CountryCode,
  isSupportedCountry,
  parsePhoneNumberFromString,
} from 'libphonenumber-js/max';
import validator from 'validator';

const SPACES = /[\s\p{Cc}\p{Cf}]+/gu;

/** Unicode NFC, runs of spaces and invisible characters one space, trimmed; case is left: McDonald stays McDonald. */
export function normaliseText(text: string): string {
  return text.normalize('NFC').replace(SPACES, ' ').trim();
}

/**
 * Domain in ASCII (IDNA, as URLs have it) and lower case; the local part as it is, with its case and tag. Undefined when it is
 * no address (RFC 5321, with UTF-8 in the local part, RFC 6531).
 */
export function normaliseEmail(text: string): string | undefined {
  const trimmed = text.trim();
  const at = trimmed.lastIndexOf('@');
  if (at <= 0) return undefined;
  const domain = domainToASCII(trimmed.slice(at + 1));
  if (domain === '') return undefined;
  const email = `${trimmed.slice(0, at).normalize('NFC')}@${domain}`;
  return validator.isEmail(email) ? email : undefined;
}

/** A country that telephone numbers can be of: ISO 3166-1, two letters. */
export function isCountry(code: string): boolean {
  return isSupportedCountry(code);
}

/**
 * E.164, by libphonenumber's full metadata. Undefined when it is no number that can be dialled.
 * @param region ISO 3166-1 country that numbers without `+` belong to; without one they are none.
 */
export function normalisePhone(text: string, region: string | undefined): string | undefined {
  const country: CountryCode | undefined =
    region !== undefined && isSupportedCountry(region) ? region : undefined;
  const number = parsePhoneNumberFromString(text, country === undefined ? {} : country);
  return number?.isValid() === true ? number.number : undefined;
}

const DATE = /^(\d{4})-?(\d\d)-?(\d\d)(?:T.*)?$/;

/** `YYYY-MM-DD` of `YYYY-MM-DD`, `YYYYMMDD` or an ISO time; undefined when there is no such day. */
export function normaliseDate(text: string): string | undefined {
  const [, year, month, day] = DATE.exec(text.trim()) ?? [];
  if (year === undefined || month === undefined || day === undefined) return undefined;
  const date = `${year}-${month}-${day}`;
  const at = new Date(`${date}T00:00:00Z`);
  return Number.isNaN(at.getTime()) || !at.toISOString().startsWith(date) ? undefined : date;
}

export interface Names {
  readonly full: string;
  readonly given: string | null;
  readonly family: string | null;
}

/**
 * A name whole and in parts: as given, or the whole one split before its last word, or at the comma of `Family, Given`.
 * Undefined when there is none. All are normalised.
 */
export function namesOf(full = '', given = '', family = ''): Names | undefined {
  const [whole, first, last] = [normaliseText(full), normaliseText(given), normaliseText(family)];
  if (first !== '' || last !== '') {
    const joined = whole === '' ? `${first} ${last}`.trim() : whole;
    return { full: joined, given: first === '' ? null : first, family: last === '' ? null : last };
  }
  if (whole === '') return undefined;
  const comma = whole.indexOf(', ');
  if (comma > 0) {
    return namesOf('', whole.slice(comma + 2), whole.slice(0, comma));
  }
  const space = whole.lastIndexOf(' ');
  if (space < 0) return { full: whole, given: whole, family: null };
  return { full: whole, given: whole.slice(0, space), family: whole.slice(space + 1) };
}
