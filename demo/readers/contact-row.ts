import { z } from 'zod';
import type { StoredContact } from '../verify/facts.ts';

/** A time as a store's client gives it: a Date, ms since the epoch, or ISO 8601. */
const instant = z
  .union([z.date(), z.number(), z.string()])
  .transform((at) => (at instanceof Date ? at.getTime() : new Date(at).getTime()));

/** A contact as any of the stores returns it; fields that we do not compare are left out. */
const contactRow = z.object({
  id: z.string(),
  tenant_id: z.string(),
  full_name: z.string(),
  email: z.string(),
  phone: z.string().nullish().default(null),
  company_id: z.string().nullish().default(null),
  company: z.string().nullish().default(null),
  company_domain: z.string().nullish().default(null),
  industry: z.string().nullish().default(null),
  tags: z.array(z.string()),
  created_at: instant,
  updated_at: instant,
  version: z.union([z.string(), z.number(), z.bigint()]).transform((version) => BigInt(version)),
});

/** Reads a store's row into what verification compares. @throws ZodError naming the fields that do not fit. */
export function toStoredContact(row: unknown): [id: string, contact: StoredContact] {
  const { id, version, ...fields } = contactRow.parse(row);
  const state = {
    ...fields,
    phone: fields.phone ?? null,
    company_id: fields.company_id ?? null,
    company: fields.company ?? null,
    company_domain: fields.company_domain ?? null,
    industry: fields.industry ?? null,
  };
  return [id, { state, version }];
}
