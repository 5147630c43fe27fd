import { domainToASCII } from 'node:url';
import validator from 'validator';
import type { ProviderKind } from '../providers/provider.ts';

/** What a contact is asked about by. */
export interface Subjects {
  readonly email: string | null;
  readonly domain: string | null;
}

/** An address as providers know it: lower case, domain in ASCII. Null when it is none (RFC 5321, with IDNA domains). */
export function emailSubject(text: string | null): string | null {
  if (text === null) return null;
  const trimmed = text.trim().toLowerCase();
  const at = trimmed.lastIndexOf('@');
  const domain = domainSubject(trimmed.slice(at + 1));
  if (at <= 0 || domain === null) return null;
  const email = `${trimmed.slice(0, at).normalize('NFC')}@${domain}`;
  return validator.isEmail(email) ? email : null;
}

/** A domain in ASCII and lower case; null when it is none. */
export function domainSubject(text: string | null): string | null {
  const domain = domainToASCII((text ?? '').trim().replace(/\.$/, ''));
  return validator.isFQDN(domain) ? domain : null;
}

/**
 * By what providers are asked about a contact: its company's domain, else that of its address, where that says anything.
 * @param isFree whether anybody can have an address in a domain.
 */
export function subjectsOf(
  contact: { readonly email: string | null; readonly company_domain: string | null },
  isFree: (domain: string) => boolean,
): Subjects {
  const email = emailSubject(contact.email);
  const own = email === null ? null : email.slice(email.lastIndexOf('@') + 1);
  const domain = domainSubject(contact.company_domain) ?? own;
  return { email, domain: domain === null || isFree(domain) ? null : domain };
}

/** What a provider of a kind is asked by; null where there is nothing to ask. */
export function subjectFor(kind: ProviderKind, { email, domain }: Subjects): string | null {
  return kind === 'company' ? domain : email;
}
