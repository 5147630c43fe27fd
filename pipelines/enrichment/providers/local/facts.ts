import { createHash } from 'node:crypto';
import type { ProviderKind } from '../provider.ts';

const INDUSTRIES = ['software', 'logistics', 'retail', 'energy', 'health', 'finance'];
const COUNTRIES = ['DE', 'FR', 'US', 'GB', 'NL', 'PL'];
const TITLES = ['Engineer', 'Head of Sales', 'Analyst', 'Founder', 'Buyer'];
const SENIORITIES = ['junior', 'senior', 'lead', 'executive'];
const CITIES = ['Berlin', 'Lyon', 'Boston', 'Leeds', 'Utrecht', 'Gdańsk'];
/** Of a hundred subjects, how many nobody knows. */
const UNKNOWN_PERCENT = 10;

/** A number of 32 bits that follows from a subject and what is asked of it. */
function draw(subject: string, question: string): number {
  return createHash('sha256').update(`${question}\0${subject}`).digest().readUInt32BE(0);
}

function pick(options: readonly string[], subject: string, question: string): string {
  return options[draw(subject, question) % options.length] ?? '';
}

function company(domain: string) {
  const [label = domain] = domain.split('.');
  return {
    name: `${label.charAt(0).toUpperCase()}${label.slice(1)} Ltd`,
    industry: pick(INDUSTRIES, domain, 'industry'),
    employees: 1 + (draw(domain, 'employees') % 5_000),
    country: pick(COUNTRIES, domain, 'country'),
  };
}

function person(email: string) {
  const handle = email.slice(0, email.indexOf('@')).replaceAll(/[^a-z0-9]/g, '-');
  return {
    job_title: pick(TITLES, email, 'title'),
    seniority: pick(SENIORITIES, email, 'seniority'),
    location: pick(CITIES, email, 'city'),
    social_profiles: [`https://social.example/${handle}`],
  };
}

function verification(email: string) {
  const results = ['deliverable', 'deliverable', 'deliverable', 'risky', 'undeliverable'];
  return { result: pick(results, email, 'result') };
}

/**
 * What the local provider says of a subject, as `shapes.ts` has it: invented, the same in every run and process. One in ten
 * is known to nobody.
 */
export function resultFor(kind: ProviderKind, subject: string): Record<string, unknown> {
  const named = kind === 'company' ? { domain: subject } : { email: subject };
  if (draw(subject, `${kind} known`) % 100 < UNKNOWN_PERCENT)
    return { ...named, status: 'not_found' };
  const facts = { company, person, verification }[kind](subject);
  return { ...named, status: 'found', ...facts };
}
