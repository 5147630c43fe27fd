import { holdsSecret, type SettingSchema, schemasBelow } from './settings.ts';

/** What stands in the place of a secret. */
export const REDACTED = '[redacted]';

const UNPARSED_CREDENTIALS = /^([a-z][a-z0-9+.-]*:\/\/[^:@/?#]*):.*@/i;
const EMBEDDED_CREDENTIALS =
  /\b([a-z][a-z0-9+.-]{1,30}:\/\/[^\s:@/?#'"]{0,200}):[^\s@'"]{1,500}@/gi;

/** A URL without its password; any other text as it is. */
export function maskUrl(text: string): string {
  if (!text.includes('://')) return text;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return text.replace(UNPARSED_CREDENTIALS, '$1:***@');
  }
  if (url.password === '') return text;
  const start = `${url.protocol}//${url.username}`;
  return `${start}:***@${url.host}${url.pathname}${url.search === '' ? '' : '?***'}`;
}

/** Text, such as an error's message, with the password of every URL in it masked. */
export function maskUrlsIn(text: string): string {
  return text.includes('://') ? text.replace(EMBEDDED_CREDENTIALS, '$1:***@') : text;
}

function maskSecret(value: unknown): unknown {
  if (value === undefined || value === null || value === '') return value;
  if (Array.isArray(value)) return value.map(maskSecret);
  // In a URL with a user the secret is the password: where it points to helps, and is none.
  if (typeof value === 'string' && /^[a-z][a-z0-9+.-]*:\/\/[^/?#]+@/i.test(value)) {
    // Postgres takes a password from the query, too.
    if (URL.canParse(value)) return maskUrl(value).replace(/\?.*$/s, '?***');
  }
  return REDACTED;
}

/**
 * A copy of `value` to print: what a schema calls secret is replaced, and so are passwords in URLs.
 * @param schemas what `value` may be; where it is a union, a key that is secret in one option is secret.
 */
export function redact(value: unknown, schemas: readonly SettingSchema[]): unknown {
  if (schemas.some(({ secret }) => secret === true)) return maskSecret(value);
  const guarded = schemas.some(holdsSecret);
  // Text where a record with secrets should be, or a name that the schema does not know: it may be one of them.
  if (typeof value === 'string') return guarded ? REDACTED : maskUrl(value);
  const child = (step: string | number, item: unknown): unknown => {
    const below = schemas.flatMap((schema) => schemasBelow(schema, step));
    return below.length === 0 && guarded ? REDACTED : redact(item, below);
  };
  if (Array.isArray(value)) return value.map((item, index) => child(index, item));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, child(key, item)]));
  }
  return value;
}
