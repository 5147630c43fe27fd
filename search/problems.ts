import { ProblemError } from '../runtime/http/problem.ts';

/** Every way in which a search is refused or fails, as RFC 9457 problems. */

const RETRY_SOON_SECONDS = 1;
const RETRY_LATER_SECONDS = 5;

export function tokenInvalid(): ProblemError {
  return new ProblemError('the request has no valid bearer token', {
    status: 401,
    code: 'TOKEN_INVALID',
    hint: 'Send Authorization: Bearer <token>, one of search.clients.',
    headers: { 'www-authenticate': 'Bearer' },
  });
}

/** Also for a tenant that does not exist: the answer says nothing about others' tenants. */
export function tenantForbidden(): ProblemError {
  return new ProblemError('this token may not search in this tenant', {
    status: 403,
    code: 'TENANT_FORBIDDEN',
    hint: 'Leave tenant out to search in those that it may, or add it to tenants of the client.',
  });
}

export function queryInvalid(detail: string): ProblemError {
  return new ProblemError(detail, {
    status: 400,
    code: 'QUERY_INVALID',
    hint: 'Send q, and if need be tenant, limit and cursor: docs/guides/search.md.',
  });
}

/** Forged, of another query, tenant or token, or sealed by another instance: the answer does not say which. */
export function cursorInvalid(): ProblemError {
  return new ProblemError('this is no cursor of this search', {
    status: 400,
    code: 'CURSOR_INVALID',
    hint: 'Send it as it came, with the same q and tenant and the same rights; or search anew.',
  });
}

export function cursorExpired(cause?: unknown): ProblemError {
  return new ProblemError('the snapshot behind this cursor is not there any more', {
    status: 410,
    code: 'CURSOR_EXPIRED',
    hint: 'Search anew. search.cursorIdleMs and search.cursorLifeMs say how long cursors are good for.',
    cause,
  });
}

export function tooManySearches(): ProblemError {
  return new ProblemError('this client has as many searches under way as it may', {
    status: 429,
    code: 'TOO_MANY_SEARCHES',
    hint: 'Wait for one to end, or raise maxConcurrent of the client.',
    retryAfterSeconds: RETRY_SOON_SECONDS,
  });
}

export function busy(): ProblemError {
  return new ProblemError('as many searches are under way as this process may have', {
    status: 503,
    code: 'SEARCH_BUSY',
    hint: 'Try again, or raise search.maxConcurrent.',
    retryAfterSeconds: RETRY_SOON_SECONDS,
  });
}

export function timedOut(cause?: unknown): ProblemError {
  return new ProblemError('the search took too long', {
    status: 503,
    code: 'SEARCH_TIMEOUT',
    hint: 'Try again with more or longer words; search.timeoutMs is the limit.',
    retryAfterSeconds: RETRY_SOON_SECONDS,
    cause,
  });
}

export function unavailable(cause: unknown): ProblemError {
  return new ProblemError('Elasticsearch does not answer searches', {
    status: 503,
    code: 'SEARCH_UNAVAILABLE',
    hint: 'Try again later. Check elasticsearch.url and its user.',
    retryAfterSeconds: RETRY_LATER_SECONDS,
    cause,
  });
}

export function indexMissing(alias: string, cause: unknown): ProblemError {
  return new ProblemError(`there is no index ${alias} yet`, {
    status: 503,
    code: 'SEARCH_INDEX_MISSING',
    hint: 'The Elasticsearch sink makes it when it first runs: reachflow run.',
    retryAfterSeconds: RETRY_LATER_SECONDS,
    cause,
  });
}

/** Nobody is there any more to be answered. */
export function abandoned(cause: unknown): ProblemError {
  return new ProblemError('the client left before the answer', {
    status: 408,
    code: 'SEARCH_ABANDONED',
    hint: 'Wait for the answer.',
    cause,
  });
}
