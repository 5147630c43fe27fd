import { invalid } from '../../../runtime/operators/validation.ts';
import { type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import type { ContactObserved } from '../../../schemas/types.ts';
import {
  isCountry,
  type Names,
  namesOf,
  normaliseDate,
  normaliseEmail,
  normalisePhone,
  normaliseText,
} from './normalise.ts';
import { qualityOf } from './quality.ts';
import type { PersonField, RawContact } from './raw-contact.ts';

/** How far ahead of the record's own time a contact's may be, ms. */
const MAX_FUTURE_MS = 5 * 60_000;
/** A contact that its source changed longer ago is out of date, ms: 20 years. */
export const HORIZON_MS = 20 * 365.25 * 86_400_000;
const MAX_TEXT = 500;
const MAX_TAGS = 100;
const OLDEST_BIRTH = '1900-01-01';

type Person = Omit<
  ContactObserved,
  | 'tenant_id'
  | 'source'
  | 'source_id'
  | 'version'
  | 'is_snapshot'
  | 'is_deleted'
  | 'tags'
  | 'created_at'
  | 'updated_at'
  | 'quality'
>;

const NOBODY: Person = {
  full_name: null,
  given_name: null,
  family_name: null,
  email: null,
  phone: null,
  birth_date: null,
  street: null,
  locality: null,
  city: null,
  region: null,
  postcode: null,
  country: null,
  company: null,
  company_domain: null,
};

/** Region of a tenant's phone numbers that say no country: ISO 3166-1; undefined where it is not known. */
export type RegionOf = (tenant: string) => string | undefined;

/**
 * Judges what a source says, and normalises it: the canonical contact, or every reason against it, each with its kind
 * (completeness, accuracy, consistency, timeliness).
 * @param now when the record was written to its topic, ms: a replay judges as the first run did.
 */
export function judgeContact(
  raw: RawContact,
  now: number,
  regionOf: RegionOf,
): Outcome<ContactObserved> {
  const reasons: string[] = [];
  if (raw.tenantId === '') reasons.push('completeness: tenant_id is empty');
  if (raw.sourceId === '') reasons.push('completeness: the source’s id is empty');
  checkTimes(raw, now, reasons);
  const person = raw.isDeleted ? NOBODY : personOf(raw, now, regionOf, reasons);
  if (reasons.length > 0) {
    return invalid(`contact ${raw.source}/${raw.sourceId}`, reasons, raw.tenantId);
  }
  return ok({
    tenant_id: raw.tenantId,
    source: raw.source,
    source_id: raw.sourceId,
    version: raw.version,
    is_snapshot: raw.isSnapshot,
    is_deleted: raw.isDeleted,
    ...person,
    tags: raw.isDeleted ? [] : tagsOf(raw.tags),
    created_at: raw.createdAt,
    updated_at: raw.updatedAt,
    quality: raw.isDeleted ? 0 : qualityOf(person, now - raw.updatedAt),
  });
}

function checkTimes({ createdAt, updatedAt }: RawContact, now: number, reasons: string[]): void {
  const latest = now + MAX_FUTURE_MS;
  if (!Number.isFinite(updatedAt)) reasons.push('accuracy: updated_at is no time');
  else if (updatedAt > latest) reasons.push('timeliness: updated_at is in the future');
  else if (updatedAt < now - HORIZON_MS)
    reasons.push('timeliness: updated_at is over 20 years ago');
  if (createdAt === null) return;
  if (!Number.isFinite(createdAt)) reasons.push('accuracy: created_at is no time');
  else if (createdAt > latest) reasons.push('timeliness: created_at is in the future');
  else if (createdAt > updatedAt) reasons.push('consistency: created_at is after updated_at');
}

function tagsOf(tags: readonly string[]): string[] {
  const texts = tags.slice(0, MAX_TAGS).map(normaliseText);
  return [...new Set(texts.filter((tag) => tag !== ''))].sort();
}

function personOf(raw: RawContact, now: number, regionOf: RegionOf, reasons: string[]): Person {
  const { person } = raw;
  const names = namesOf(person.full_name, person.given_name, person.family_name);
  checkNames(names, reasons);
  const text = (field: PersonField) => textOf(field, person[field], reasons);
  const country = countryOf(person.country, reasons);
  const result: Person = {
    full_name: names?.full ?? null,
    given_name: names?.given ?? null,
    family_name: names?.family ?? null,
    email: emailOf(person.email, reasons),
    phone: phoneOf(person.phone, country ?? regionOf(raw.tenantId), reasons),
    birth_date: birthDateOf(person.birth_date, now, reasons),
    street: text('street'),
    locality: text('locality'),
    city: text('city'),
    region: text('region'),
    postcode: text('postcode'),
    country,
    company: text('company'),
    company_domain: domainOf(person.company_domain, reasons),
  };
  const { email, phone, birth_date, street } = person;
  if (!email && !phone && !birth_date && !street) {
    reasons.push('completeness: there is no email, phone, birth_date or street');
  }
  return result;
}

function checkNames(names: Names | undefined, reasons: string[]): void {
  if (names === undefined) reasons.push('completeness: there is no name');
  else if (names.full.length > MAX_TEXT) {
    reasons.push(`accuracy: the name has more than ${MAX_TEXT} characters`);
  }
}

/** Undefined and blank are absent. */
function isAbsent(text: string | undefined): text is undefined {
  return text === undefined || text.trim() === '';
}

function textOf(field: string, given: string | undefined, reasons: string[]): string | null {
  if (isAbsent(given)) return null;
  const text = normaliseText(given);
  if (text.length > MAX_TEXT) {
    reasons.push(`accuracy: ${field} has more than ${MAX_TEXT} characters`);
  }
  return text;
}

function emailOf(given: string | undefined, reasons: string[]): string | null {
  if (isAbsent(given)) return null;
  const email = normaliseEmail(given);
  if (email === undefined) reasons.push('accuracy: email is no address');
  return email ?? null;
}

function phoneOf(
  given: string | undefined,
  region: string | undefined,
  reasons: string[],
): string | null {
  if (isAbsent(given)) return null;
  const phone = normalisePhone(given, region);
  if (phone === undefined) {
    const where = region === undefined ? 'and no country is known for it' : `of ${region}`;
    reasons.push(`accuracy: phone is no number, neither international nor ${where}`);
  }
  return phone ?? null;
}

function birthDateOf(given: string | undefined, now: number, reasons: string[]): string | null {
  if (isAbsent(given)) return null;
  const date = normaliseDate(given);
  if (date === undefined) reasons.push('accuracy: birth_date is no date');
  else if (Date.parse(date) > now) reasons.push('consistency: birth_date is in the future');
  else if (date < OLDEST_BIRTH) reasons.push(`accuracy: birth_date is before ${OLDEST_BIRTH}`);
  return date ?? null;
}

function countryOf(given: string | undefined, reasons: string[]): string | null {
  if (isAbsent(given)) return null;
  const country = given.trim().toUpperCase();
  if (!isCountry(country)) reasons.push('accuracy: country is no ISO 3166-1 code of two letters');
  return country;
}

function domainOf(given: string | undefined, reasons: string[]): string | null {
  if (isAbsent(given)) return null;
  const email = normaliseEmail(`x@${given.trim()}`);
  if (email === undefined) reasons.push('accuracy: company_domain is no domain');
  return email?.slice(2) ?? null;
}
