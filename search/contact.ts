import { z } from 'zod';
import { type Range, rangesIn, rangesInEmail } from './highlights.ts';
import type { Term } from './terms.ts';

/** A contact as a search shows it. */
export interface FoundContact {
  readonly id: string;
  readonly tenant_id: string;
  readonly full_name: string | null;
  readonly email: string | null;
  readonly phone: string | null;
  readonly company: string | null;
  readonly tags: readonly string[];
  /** ISO 8601. */
  readonly created_at: string | null;
  /** ISO 8601. */
  readonly updated_at: string | null;
  /** By field: what of its text was matched. */
  readonly highlights: Readonly<Record<string, readonly Range[]>>;
}

const text = z.string().nullish().default(null);
const time = z
  .number()
  .nullish()
  .transform((ms) => (ms === null || ms === undefined ? null : new Date(ms).toISOString()));

const sourceSchema = z.object({
  id: z.string(),
  tenant_id: z.string(),
  full_name: text,
  email: text,
  phone: text,
  company: text,
  tags: z.array(z.string()).nullish(),
  created_at: time,
  updated_at: time,
});

/** What is asked of the index. */
export const SOURCE_FIELDS = Object.keys(sourceSchema.shape);

/** `j***@example.com`. What is no address is hidden whole. */
export function maskEmail(email: string): string {
  const at = email.lastIndexOf('@');
  return at > 0
    ? `${String.fromCodePoint(email.codePointAt(0) ?? 42)}***${email.slice(at)}`
    : '***';
}

/** `***-***-1234`: the last four digits. */
export function maskPhone(phone: string): string {
  return `***-***-${phone.slice(-4).padStart(4, '*')}`;
}

/**
 * A document of the index as it is shown.
 * @param terms what was searched for.
 * @throws z.ZodError when the index has something else than contacts.
 */
export function foundContact(
  source: unknown,
  terms: readonly Term[],
  pii: 'masked' | 'shown',
): FoundContact {
  const contact = sourceSchema.parse(source);
  const { full_name, company, email, phone, tags } = contact;
  const highlights: Record<string, readonly Range[]> = {
    full_name: full_name === null ? [] : rangesIn(full_name, terms),
    company: company === null ? [] : rangesIn(company, terms),
    email: email === null || pii === 'masked' ? [] : rangesInEmail(email, terms),
  };
  return {
    ...contact,
    tags: tags ?? [],
    email: email === null || pii === 'shown' ? email : maskEmail(email),
    phone: phone === null || pii === 'shown' ? phone : maskPhone(phone),
    highlights,
  };
}
