import { readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { type SearchAccessOf, scopeOf } from './access.ts';
import { MAX_CURSOR_CHARACTERS } from './cursor.ts';
import { queryInvalid } from './problems.ts';
import { type ContactSearch, DEFAULT_LIMIT, MAX_LIMIT, type SearchPage } from './search.ts';

export interface SearchRoutesOptions {
  readonly search: ContactSearch;
  readonly access: SearchAccessOf;
  /** Where the page is served; it is not when absent. */
  readonly page?: string;
}

/** Path of the API, under whatever prefix the routes are registered with. */
export const SEARCH_PATH = '/api/v1/contacts/search';

const querySchema = z.strictObject({
  q: z.string(),
  tenant: z.string().min(1).max(128).optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/, `a whole number from 1 to ${MAX_LIMIT}`)
    .transform(Number)
    .default(DEFAULT_LIMIT),
  cursor: z.string().min(1).max(MAX_CURSOR_CHARACTERS).optional(),
});

/** Nothing but our own script and style runs; no other page frames it. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE_FILES = [
  { path: '', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: 'search.js', file: 'search.js', type: 'text/javascript; charset=utf-8' },
  { path: 'search.css', file: 'search.css', type: 'text/css; charset=utf-8' },
] as const;

/**
 * Search in contacts as routes of a server, whose error handler answers with problems: `GET /api/v1/contacts/search`, and its page.
 * A console has them by `searchRoutes(app, { search, access, page: '/search' })`.
 * @throws Error when the page's files are not there.
 */
export function searchRoutes(
  app: FastifyInstance,
  { search, access, page }: SearchRoutesOptions,
): void {
  app.get(SEARCH_PATH, async (request, reply) => {
    const { tenants: allowed, pii, enter } = access(request);
    const { q, tenant, limit, cursor } = parsed(request.query);
    const tenants = scopeOf(allowed, tenant);
    const leave = enter();
    try {
      const signal = untilGone(reply);
      const found = await search.search({ text: q, tenants, pii, limit, cursor, signal });
      void reply.header('cache-control', 'no-store');
      return pageDocument(found);
    } finally {
      leave();
    }
  });
  if (page === undefined) return;
  const base = page.endsWith('/') ? page : `${page}/`;
  if (base !== page) app.get(page, (_request, reply) => reply.redirect(base.slice(1)));
  for (const { path, file, type } of PAGE_FILES) {
    const content = readFileSync(new URL(`./page/${file}`, import.meta.url));
    app.get(`${base}${path}`, (_request, reply) =>
      reply
        .headers({
          'content-security-policy': CONTENT_SECURITY_POLICY,
          'x-content-type-options': 'nosniff',
          'referrer-policy': 'no-referrer',
          'cache-control': 'no-cache',
        })
        .type(type)
        .send(content),
    );
  }
}

/** A page as the API answers it, and the command prints it. */
export function pageDocument({ contacts, cursor }: SearchPage) {
  return {
    data: contacts,
    pagination: { cursor: cursor ?? null, has_more: cursor !== undefined },
  };
}

function parsed(query: unknown): z.output<typeof querySchema> {
  const result = querySchema.safeParse(query);
  if (!result.success) throw queryInvalid(z.prettifyError(result.error));
  return result.data;
}

/** Who leaves before the answer does not need it any more. */
function untilGone({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  raw.once('close', () => controller.abort());
  return controller.signal;
}
