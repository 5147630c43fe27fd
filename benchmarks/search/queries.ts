import { contactOf } from './corpus.ts';

/** What people type, each made of a contact that is there. */
export const queryKinds = [
  'name',
  'surname',
  'prefix',
  'typo',
  'part',
  'email',
  'company',
] as const;
export type QueryKind = (typeof queryKinds)[number];

/** The text of a search of a kind. @param number of the contact that it is made of. */
export function queryText(kind: QueryKind, number: number): string {
  const { full_name, email, company } = contactOf(number);
  const words = full_name.split(' ');
  const last = words.at(-1) ?? full_name;
  switch (kind) {
    case 'name':
      return full_name;
    case 'surname':
      return last;
    case 'prefix':
      // As it is typed: one, two, three letters of the last word.
      return [...words.slice(0, -1), last.slice(0, 1 + (number % 3))].join(' ');
    case 'typo':
      return [...words.slice(0, -1), misspelled(last)].join(' ');
    case 'part':
      return last.length < 4 ? full_name : last.slice(1, 5);
    case 'email':
      return number % 3 === 0 ? email.slice(0, email.indexOf('@') + 3) : email;
    case 'company':
      return `${words[0] ?? ''} ${company ?? ''}`;
  }
}

/** Two letters change places. */
function misspelled(word: string): string {
  const at = Math.floor(word.length / 2);
  return word.length < 3
    ? word
    : `${word.slice(0, at - 1)}${word.charAt(at)}${word.charAt(at - 1)}${word.slice(at + 1)}`;
}
