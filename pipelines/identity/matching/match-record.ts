/**
 * A contact as matching sees it: folded, so that what people spell differently without meaning it is the same.
 * Absent fields are empty text: they say nothing for or against a match.
 */
export interface MatchRecord {
  readonly given: string;
  readonly family: string;
  /** Match key: domain in ASCII, without plus tag. */
  readonly email: string;
  /** E.164. */
  readonly phone: string;
  /** ISO 8601, `YYYY-MM-DD`. */
  readonly birthDate: string;
  readonly street: string;
  /** A second line of the address. */
  readonly locality: string;
  readonly city: string;
  readonly region: string;
  readonly postcode: string;
  readonly company: string;
}

const NOT_ASCII = /[^\0-\x7f]/;
const MARKS = /\p{M}+/gu;
const NOT_WORD = /[^\p{L}\p{N}]+/gu;
const NOT_PLAIN = /[^a-z0-9]+/g;

/** Lower case, without accents (NFKD), each run of what is no letter or digit one space, trimmed. */
export function fold(text: string): string {
  if (text === '') return '';
  if (!NOT_ASCII.test(text)) return text.toLowerCase().replace(NOT_PLAIN, ' ').trim();
  return text.normalize('NFKD').replace(MARKS, '').toLowerCase().replace(NOT_WORD, ' ').trim();
}

const PLUS_TAG = /\+[^@]*@/;

/**
 * What an address is matched by: without the plus tag (RFC 5233's subaddress), lower case. The stored address keeps
 * both: most providers ignore the tag and the case of the local part, but not all.
 */
export function emailKey(email: string): string {
  return email.replace(PLUS_TAG, '@').toLowerCase();
}
