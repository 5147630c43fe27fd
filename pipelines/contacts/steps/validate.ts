import validator from 'validator';
import type { CdcPublicContactsValue, Contact } from '../../../schemas/types.ts';

/** A contact's own fields, before enrichment. */
export type BaseContact = Omit<Contact, 'company' | 'company_domain' | 'industry' | 'version'>;

export type ValidatedContact =
  | { readonly contact: BaseContact }
  | { readonly reasons: readonly string[]; readonly tenant: string };

const E164 = /^\+[1-9]\d{6,14}$/;
const MAX_NAME = 500;

function time(name: string, iso: string | null, reasons: string[]): number {
  const ms = iso === null ? Number.NaN : Date.parse(iso);
  if (!Number.isFinite(ms)) reasons.push(`${name} is no time`);
  return ms;
}

/** Judges a row of the contacts table: every reason against it, or the contact it makes. */
export function validateContact(row: CdcPublicContactsValue): ValidatedContact {
  const reasons: string[] = [];
  const tenant = row.tenant_id ?? '';
  if (tenant === '') reasons.push('tenant_id is empty');
  const name = row.full_name?.trim() ?? '';
  if (name === '') reasons.push('full_name is empty');
  if (name.length > MAX_NAME) reasons.push(`full_name has more than ${MAX_NAME} characters`);
  const email = row.email?.trim() ?? '';
  if (!validator.isEmail(email)) reasons.push('email is no address');
  const phone = row.phone === null || row.phone === '' ? null : row.phone;
  if (phone !== null && !E164.test(phone)) reasons.push('phone is not E.164');
  const createdAt = time('created_at', row.created_at, reasons);
  const updatedAt = time('updated_at', row.updated_at, reasons);
  if (reasons.length > 0) return { reasons, tenant };
  return {
    contact: {
      id: String(row.id),
      tenant_id: tenant,
      full_name: name,
      email,
      phone,
      company_id: row.company_id === null ? null : String(row.company_id),
      tags: (row.tags ?? []).filter((tag) => tag !== null),
      score: null,
      created_at: createdAt,
      updated_at: updatedAt,
    },
  };
}
