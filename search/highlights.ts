import { distance } from 'fastest-levenshtein';
import { type Term, WORD } from './terms.ts';

/** A stretch of a text that a search matched: from, and to but without, in UTF-16 units. */
export type Range = readonly [start: number, end: number];

/** Text that is longer is not marked beyond that. */
const MAX_CHARACTERS = 2_000;
/** Edits that Elasticsearch's fuzziness AUTO allows: one from three letters on, two from six. */
const ONE_EDIT = 3;
const TWO_EDITS = 6;

/**
 * What of a text a search's terms matched: beginnings and parts of words without regard to case and accents, and whole words
 * that are a misspelling away. Here and not in Elasticsearch, whose highlighter takes ten times as long as the search when it
 * looks for misspelled forms.
 */
export function rangesIn(text: string, terms: readonly Term[]): readonly Range[] {
  const wanted = terms.map((term) => fold(term.text));
  const ranges: Range[] = [];
  for (const { 0: word, index } of text.slice(0, MAX_CHARACTERS).matchAll(WORD)) {
    const range = rangeInWord(word, wanted);
    if (range !== undefined) ranges.push([index + range[0], index + range[1]]);
  }
  return ranges;
}

/** What of an address a search's terms matched: its beginning. */
export function rangesInEmail(email: string, terms: readonly Term[]): readonly Range[] {
  const folded = email.toLowerCase();
  const begins = terms.find(({ text }) => folded.startsWith(text.toLowerCase()));
  return begins === undefined ? [] : [[0, begins.text.length]];
}

function rangeInWord(word: string, wanted: readonly string[]): Range | undefined {
  const folded = fold(word);
  const places = wanted.map((term) => [folded.indexOf(term), term.length] as const);
  const [at, length] =
    places.filter(([place]) => place >= 0).sort(([a], [b]) => a - b)[0] ?? ([-1, 0] as const);
  // Where folding changes the length, places in it are none in the word.
  if (at >= 0) return folded.length === word.length ? [at, at + length] : [0, word.length];
  const isNear = wanted.some(
    (term) => term[0] === folded[0] && distance(term, folded) <= editsOf(term),
  );
  return isNear ? [0, word.length] : undefined;
}

function editsOf({ length }: string): number {
  if (length < ONE_EDIT) return 0;
  return length < TWO_EDITS ? 1 : 2;
}

function fold(text: string): string {
  return text
    .normalize('NFD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase();
}
