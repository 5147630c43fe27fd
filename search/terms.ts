import { queryInvalid } from './problems.ts';

/** What one part of a search's text is taken for. */
export interface Term {
  readonly kind: 'word' | 'email' | 'phone';
  /** Of a phone the digits after `+`; else as it was given, in NFC. */
  readonly text: string;
}

export const MAX_QUERY_CHARACTERS = 200;
/** Each costs a look into every field. */
export const MAX_TERMS = 8;
const MIN_PHONE_DIGITS = 5;

/** Words as Elasticsearch's standard tokenizer has them: apostrophes and dots inside stay (UAX #29, WB6). */
export const WORD = /[\p{L}\p{N}\p{M}]+(?:['’.][\p{L}\p{N}\p{M}]+)*/gu;
const PHONE = /^\s*(?:\+|00)[\d\s()./-]+$/;

/**
 * The parts of a search's text, all of which a contact has to have. There is no syntax: whatever stands there is looked for.
 * @param options.contactData whether e-mail addresses and phone numbers are looked for as such.
 * @throws ProblemError `QUERY_INVALID` for a text without a letter or digit, or with too much of them.
 */
export function termsOf(text: string, options: { readonly contactData: boolean }): readonly Term[] {
  if (text.length > MAX_QUERY_CHARACTERS) {
    throw queryInvalid(`q has more than ${MAX_QUERY_CHARACTERS} characters`);
  }
  if (!text.isWellFormed()) throw queryInvalid('q is no well-formed Unicode');
  const normal = text.normalize('NFC').trim();
  if (options.contactData && PHONE.test(normal)) {
    const digits = normal.replace(/\D/g, '').replace(/^00/, '');
    if (digits.length >= MIN_PHONE_DIGITS) return [{ kind: 'phone', text: digits }];
  }
  const terms = normal.split(/\s+/).flatMap((part): Term[] => {
    if (options.contactData && part.indexOf('@') > 0) return [{ kind: 'email', text: part }];
    return (part.match(WORD) ?? []).map((word) => ({ kind: 'word', text: word }));
  });
  if (terms.length === 0) throw queryInvalid('q has no letter or digit');
  if (terms.length > MAX_TERMS) throw queryInvalid(`q has more than ${MAX_TERMS} words`);
  return terms;
}
