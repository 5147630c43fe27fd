import { createHash } from 'node:crypto';
import type { ContactEnriched } from '../../../schemas/types.ts';
import { type ProviderKind, providerKinds } from '../providers/provider.ts';
import { type Asked, type Fact, factOf, type KnownContact, type Own } from './known.ts';

/** All of an enriched contact but what says when it was made. */
type Content = Omit<ContactEnriched, 'enriched_at' | 'version'>;

const FIELDS: readonly { readonly field: TextField; readonly provider: ProviderKind }[] = [
  { field: 'company', provider: 'company' },
  { field: 'industry', provider: 'company' },
  { field: 'country', provider: 'company' },
  { field: 'job_title', provider: 'person' },
  { field: 'seniority', provider: 'person' },
  { field: 'location', provider: 'person' },
  { field: 'email_status', provider: 'verification' },
];

type TextField =
  | 'company'
  | 'industry'
  | 'country'
  | 'job_title'
  | 'seniority'
  | 'location'
  | 'email_status';

/**
 * The record of a contact: our own tables before providers, and for each field whose it is. What a provider said of an
 * earlier address or domain is not in it.
 */
export function contentOf(id: string, own: Own, known: KnownContact): Content {
  const provenance: Record<string, string> = {};
  const fact = (field: string, kind: ProviderKind): string | undefined => {
    const found = factOf(known, kind);
    const value = found?.fields[field];
    if (found !== undefined && value !== undefined)
      provenance[field] = `${kind}@${new Date(found.at).toISOString()}`;
    return value;
  };
  const texts: Record<TextField, string | null> = {
    company: null,
    industry: null,
    country: null,
    job_title: null,
    seniority: null,
    location: null,
    email_status: null,
  };
  for (const { field, provider } of FIELDS) texts[field] = fact(field, provider) ?? null;
  const employees = fact('employees', 'company');
  const profiles = fact('social_profiles', 'person');
  const table = own.source === 'contact.golden' ? 'cdc:companies' : own.source;
  for (const field of ['company', 'industry'] as const) {
    if (own[field] === null) continue;
    texts[field] = own[field];
    provenance[field] = table;
  }
  if (own.company_domain !== null) provenance['company_domain'] = table;
  const { email_status } = texts;
  const isKnown = email_status !== null && email_status !== 'unknown';
  return {
    id,
    tenant_id: own.tenant_id,
    email: own.email,
    company_domain: own.company_domain ?? own.domain,
    ...texts,
    employees: employees === undefined ? null : Number(employees),
    social_profiles: profiles === undefined ? [] : profiles.split(' '),
    email_valid: isKnown ? email_status !== 'undeliverable' : null,
    provenance,
    providers: providerKinds.flatMap((kind) => {
      const asked = known.asked[kind];
      return asked === undefined ? [] : [saysOf(kind, asked, factOf(known, kind))];
    }),
    revision: BigInt(known.revision),
  };
}

/** What failed when there was an answer before does not show: that answer goes on to count. */
function saysOf(
  provider: ProviderKind,
  { subject, stale, failure }: Asked,
  fact: Fact | undefined,
) {
  return {
    provider,
    subject,
    outcome: fact?.outcome ?? 'failed',
    answered_at: fact?.at ?? null,
    stale: stale === true,
    reason: fact === undefined ? (failure ?? null) : null,
  };
}

/** The same for contents that are the same but for the contact's revision and the reasons of failures: these are no news. */
export function digestOf({ revision: _, providers, ...content }: Content): string {
  const said = providers.map(({ reason: __, ...says }) => says);
  const text = JSON.stringify({ ...content, providers: said });
  return createHash('sha256').update(text).digest('base64url');
}
