import { mix } from '../../pipelines/identity/matching/hash.ts';
import { loadFebrl } from '../../pipelines/identity/matching/testing/febrl.ts';
import type { ContactObserved } from '../../schemas/types.ts';

/** Names, streets, towns and postcodes as often as Febrl's second set has them: alike as real ones are. */
const people = loadFebrl(2).map(({ record }) => record);
const COMPANIES = 20_000;
const DAY_MS = 86_400_000;
const T0 = Date.UTC(2026, 0, 1);

/** A number of 32 bits that follows from a person and what is asked. */
function draw(person: number, question: number): number {
  return mix(Math.imul(person, 0x9e3779b1) ^ mix(question));
}

type Field = 'given' | 'family' | 'street' | 'city' | 'postcode' | 'region';

function value(person: number, field: Field, question: number): string {
  return people[draw(person, question) % people.length]?.[field] ?? '';
}

function orNull(text: string): string | null {
  return text === '' ? null : text;
}

/** Person number `person` of one tenant, as their own database has them; everything follows from the number. */
export function person(number: number): ContactObserved {
  const given = value(number, 'given', 1);
  const family = value(number, 'family', 2);
  const street = value(number, 'street', 3).replace(/^\d+/, String(1 + (draw(number, 4) % 200)));
  const company = draw(number, 5) % COMPANIES;
  const born = new Date(T0 - DAY_MS * (6_500 + (draw(number, 6) % 25_000)));
  return {
    tenant_id: 'acme',
    source: 'cdc:contacts',
    source_id: String(number),
    version: 1n,
    is_snapshot: false,
    is_deleted: false,
    full_name: `${given} ${family}`.trim() || `contact ${number}`,
    given_name: orNull(given),
    family_name: orNull(family),
    email: `${given}.${family}${draw(number, 7) % 100_000}@company${company}.example`.replaceAll(
      ' ',
      '',
    ),
    phone: `+4915${String(draw(number, 8) % 1_000_000_000).padStart(9, '1')}`,
    birth_date: draw(number, 9) % 2 === 0 ? born.toISOString().slice(0, 10) : null,
    street: orNull(street),
    locality: null,
    city: orNull(value(number, 'city', 10)),
    region: orNull(value(number, 'region', 11)),
    postcode: orNull(value(number, 'postcode', 12)),
    country: 'AU',
    company: `Company ${company}`,
    company_domain: `company${company}.example`,
    tags: [],
    created_at: T0,
    updated_at: T0,
    quality: 0.9,
  };
}

/** The same person changed what matching does not look at. */
export function updated(number: number, version: number): ContactObserved {
  return {
    ...person(number),
    version: BigInt(version),
    updated_at: T0 + version,
    tags: [`v${version}`],
  };
}

/** The same person as a form knows them: another id, a letter of the name wrong, no address. */
export function duplicate(number: number): ContactObserved {
  const original = person(number);
  const { family_name } = original;
  const misspelled = family_name === null ? null : `${family_name.slice(0, -1)}x`;
  return {
    ...original,
    source: 'webhook:form',
    family_name: misspelled,
    full_name: `${original.given_name ?? ''} ${misspelled ?? ''}`.trim() || original.full_name,
    street: null,
    city: null,
    postcode: null,
  };
}
