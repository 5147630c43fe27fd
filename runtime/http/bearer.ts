import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';

/** Tokens of a configuration: several are active at a time, to rotate them. */
export const bearerTokens = z
  .array(z.string().regex(/^[\x21-\x7e]{24,512}$/, '24 to 512 printable characters, no spaces'))
  .min(1)
  .max(8)
  .meta({ secret: true })
  .describe('Active bearer tokens: add the new one, switch the client, then remove the old one.');

/** The holder of a request's token, if it is known. */
export type Authenticate<T> = (headers: IncomingHttpHeaders, query?: unknown) => T | undefined;

const BEARER = /^Bearer +([\x21-\x7e]{1,512})$/i;

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

/**
 * Finds who holds a bearer token (RFC 6750). Tokens are looked up by their SHA-256, so that the time it takes says nothing
 * of how much of one was right.
 * @param options.query also take `access_token` of the query, for browsers' EventSource and WebSocket, which cannot send
 *   headers: it may end up in logs of proxies.
 */
export function authenticator<T>(
  holders: Iterable<readonly [tokens: readonly string[], holder: T]>,
  { query: takeQuery = false }: { readonly query?: boolean } = {},
): Authenticate<T> {
  const byDigest = new Map<string, T>();
  for (const [tokens, holder] of holders)
    for (const token of tokens) byDigest.set(digest(token), holder);
  return ({ authorization }, query) => {
    const inQuery = (query as { access_token?: unknown } | null | undefined)?.access_token;
    const token = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
    if (token !== undefined) return byDigest.get(digest(token));
    return takeQuery && typeof inQuery === 'string' ? byDigest.get(digest(inQuery)) : undefined;
  };
}
