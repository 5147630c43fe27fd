import { hash } from 'node:crypto';
import type { ContactObserved, ContactUnified } from '../../../schemas/types.ts';
import type { KnownRecord } from './known-record.ts';

/** Fields that come from one source record together: half an address of each of two is none. */
const GROUPS = [
  ['full_name', 'given_name', 'family_name'],
  ['email'],
  ['phone'],
  ['birth_date'],
  ['street', 'locality', 'city', 'region', 'postcode', 'country'],
  ['company', 'company_domain'],
] as const;

type Person = Pick<ContactUnified, (typeof GROUPS)[number][number]>;

/** A golden record before it has a version. */
export type Golden = Omit<ContactUnified, 'version'>;

/** How much a source is trusted: the own database, what other systems send, files. */
const TRUST = ['cdc:', 'webhook:', 'file:'];

function trustOf(source: string): number {
  const rank = TRUST.findIndex((prefix) => source.startsWith(prefix));
  return rank < 0 ? TRUST.length : rank;
}

/** `<source>/<source id>`. */
export function memberOf({ source, source_id }: ContactObserved): string {
  return `${source}/${source_id}`;
}

/** `<source>/<source id>@<version>`. */
export function originOf(observed: ContactObserved): string {
  return `${memberOf(observed)}@${observed.version}`;
}

/** 128 bits of the identity of the first of a contact's source records: nobody has to remember it. */
export function contactId({ tenant_id, source, source_id }: ContactObserved): string {
  return hash('sha256', JSON.stringify([tenant_id, source, source_id]), 'hex').slice(0, 32);
}

/** Survivorship: the most trusted source first, then what was changed last, then the most complete, then the oldest known. */
function bySurvivorship(a: KnownRecord, b: KnownRecord): number {
  return (
    trustOf(a.observed.source) - trustOf(b.observed.source) ||
    b.observed.updated_at - a.observed.updated_at ||
    b.observed.quality - a.observed.quality ||
    a.number - b.number
  );
}

/** The golden record of source records, of which there is at least one; the first is that of the smallest number. */
export function goldenOf(members: readonly KnownRecord[]): Golden {
  const [anchor, ...others] = members;
  if (anchor === undefined) throw new Error('a contact has no source records');
  const ranked = others.length === 0 ? members : members.toSorted(bySurvivorship);
  const observed = ranked.map((member) => member.observed);
  const origins = observed.map(originOf);
  const provenance: Record<string, string> = {};
  const person: Partial<Person> = {};
  for (const group of GROUPS) {
    const rank = observed.findIndex((record) => group.some((field) => record[field] !== null));
    const from = observed[rank];
    const origin = origins[rank] ?? '';
    for (const field of group) {
      const value = from?.[field] ?? null;
      person[field] = value;
      if (value !== null) provenance[field] = origin;
    }
  }
  return {
    id: contactId(anchor.observed),
    tenant_id: anchor.observed.tenant_id,
    ...(person as Person),
    tags: [...new Set(observed.flatMap(({ tags }) => tags))].sort(),
    quality: Math.max(...observed.map(({ quality }) => quality)),
    members: observed.map(memberOf).sort(),
    provenance,
    created_at: Math.min(...observed.map(({ created_at, updated_at }) => created_at ?? updated_at)),
    updated_at: Math.max(...observed.map(({ updated_at }) => updated_at)),
  };
}

/** Fields that differ, of two golden records of one contact. Where a value is from is not one. */
export function changedFields(before: Golden, after: Golden): string[] {
  const fields: readonly (keyof Golden)[] = [
    ...GROUPS.flat(),
    'tags',
    'quality',
    'members',
    'created_at',
    'updated_at',
  ];
  return fields.filter((field) => !isSame(before[field], after[field]));
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  return typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b);
}
