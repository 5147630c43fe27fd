import type { estypes } from '@elastic/elasticsearch';
import type { Term } from './terms.ts';

/** The query part of a search, as the client takes it. */
export type Query = NonNullable<estypes.SearchRequest['query']>;

/** Whose contacts: `*` is everybody's. */
export type TenantScope = '*' | readonly string[];

export interface ContactQuery {
  /** As it was typed, for what is found as a whole. */
  readonly text: string;
  readonly terms: readonly Term[];
  readonly tenants: TenantScope;
  /** Whether contacts are found by e-mail address and phone. */
  readonly contactData: boolean;
  /** Also those whose names are misspelled, or contain a word in their middle: dearer. */
  readonly relaxed: boolean;
}

/** One letter begins too many names to look for them all: it does in the last word, which is still being typed. */
const MIN_PREFIX = 2;
const MIN_EMAIL_PREFIX = 3;
const MIN_FUZZY = 3;
/** Parts are kept of three and four characters. */
const MIN_PART = 3;
/** Misspelled forms of a word that are looked for, the nearest first. */
const MAX_FORMS = 100;

/**
 * What each kind of match counts for. Whole words count by their rarity (BM25, times the weight of the field), the others a
 * constant, so that what is right comes before what begins so, and that before what is misspelled.
 */
const WEIGHTS = {
  emailWhole: 10,
  emailBegins: 3,
  emailMisspelled: 1,
  tags: 0.8,
  nameBegins: 0.6,
  companyBegins: 0.5,
  domain: 0.5,
  emailPart: 0.4,
  nameMisspelled: 0.3,
  companyMisspelled: 0.2,
  nameContains: 0.1,
} as const;

/**
 * The query: every term is in some field, in contacts of the tenants. It is made of typed clauses; no part of the text is ever
 * parsed as a query language.
 */
export function contactQuery(search: ContactQuery): Query {
  const { text, terms, tenants } = search;
  const must = terms.map((term, index) => termQuery(term, search, placeIn(terms, index)));
  const all: Query = { bool: { must } };
  // A tag may have several words.
  const found: Query = terms.length === 1 ? all : { dis_max: { queries: [all, tagQuery(text)] } };
  return {
    bool: {
      must: [found],
      ...(tenants === '*' ? {} : { filter: [{ terms: { tenant_id: [...tenants] } }] }),
    },
  };
}

/** Of a word: the last one may still be being typed, so that it is a beginning, too. */
type Place = 'only' | 'before' | 'last';

function placeIn(terms: readonly Term[], index: number): Place {
  if (terms.length === 1) return 'only';
  return index === terms.length - 1 ? 'last' : 'before';
}

function termQuery(term: Term, search: ContactQuery, place: Place): Query {
  switch (term.kind) {
    case 'word':
      return wordQuery(term.text, search, place);
    case 'email':
      return emailQuery(term.text, search);
    case 'phone':
      return { prefix: { phone: { value: `+${term.text}` } } };
  }
}

function wordQuery(word: string, { contactData, relaxed }: ContactQuery, place: Place): Query {
  const fields = ['full_name^3', 'company^2', ...(contactData ? ['email'] : []), 'tags'];
  const queries: Query[] = [
    { multi_match: { query: word, type: 'best_fields', operator: 'and', fields } },
  ];
  const lower = word.toLowerCase();
  if (lower !== word) queries.push(tagQuery(lower));
  if (word.includes('.'))
    queries.push(constant({ term: { company_domain: lower } }, WEIGHTS.domain));
  const minPrefix = place === 'last' ? 1 : MIN_PREFIX;
  if ((relaxed || place !== 'before') && word.length >= minPrefix) {
    queries.push({ match_bool_prefix: { full_name: begins(word, WEIGHTS.nameBegins) } });
    if (word.length >= MIN_PREFIX) {
      queries.push({ match_bool_prefix: { company: begins(word, WEIGHTS.companyBegins) } });
    }
    if (contactData && word.length >= MIN_EMAIL_PREFIX) {
      queries.push({ prefix: { email: { value: lower, boost: WEIGHTS.emailPart } } });
    }
  }
  // Another number is no misspelling.
  if (relaxed && word.length >= MIN_FUZZY && !/\p{N}/u.test(word)) {
    queries.push(constant({ match: { full_name: misspelled(word) } }, WEIGHTS.nameMisspelled));
    queries.push(constant({ match: { company: misspelled(word) } }, WEIGHTS.companyMisspelled));
  }
  if (relaxed && word.length >= MIN_PART) {
    const parts: Query = { match: { 'full_name.ngram': { query: word, operator: 'and' } } };
    queries.push(constant(parts, WEIGHTS.nameContains));
  }
  return { dis_max: { queries } };
}

function constant(filter: Query, boost: number): Query {
  return { constant_score: { filter, boost } };
}

function begins(query: string, boost: number) {
  return { query, boost, operator: 'and' as const };
}

/** One edit in words of three to five characters, two in longer ones; the first character is right. */
function misspelled(query: string) {
  const fuzziness = { fuzziness: 'AUTO', prefix_length: 1, max_expansions: MAX_FORMS };
  return { query, operator: 'and' as const, ...fuzziness };
}

function tagQuery(text: string): Query {
  return { term: { tags: { value: text, boost: WEIGHTS.tags } } };
}

function emailQuery(address: string, { relaxed }: ContactQuery): Query {
  const value = address.toLowerCase();
  const queries: Query[] = [
    { term: { email: { value, boost: WEIGHTS.emailWhole } } },
    { prefix: { email: { value, boost: WEIGHTS.emailBegins } } },
  ];
  if (relaxed) {
    const near: Query = { fuzzy: { email: { value, fuzziness: 1, prefix_length: 2 } } };
    queries.push(constant(near, WEIGHTS.emailMisspelled));
  }
  return { dis_max: { queries } };
}
