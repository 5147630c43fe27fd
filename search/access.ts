import type { FastifyRequest } from 'fastify';
import { authenticator } from '../runtime/http/bearer.ts';
import type { SearchConfig } from './config.ts';
import { tenantForbidden, tokenInvalid, tooManySearches } from './problems.ts';
import type { TenantScope } from './query.ts';

/** What whoever sent a request may see. */
export interface SearchAccess {
  readonly tenants: TenantScope;
  readonly pii: 'masked' | 'shown';
  /** Counts a search of theirs until the function is called. @throws ProblemError 429. */
  enter(): () => void;
}

/** Decides by a request who sent it. @throws ProblemError 401. */
export type SearchAccessOf = (request: FastifyRequest) => SearchAccess;

/** Access by the bearer tokens of `search.clients`. */
export function tokenAccess({ clients }: Pick<SearchConfig, 'clients'>): SearchAccessOf {
  const holders = Object.values(clients).map((client) => {
    const { tokens, tenants, pii, maxConcurrent } = client;
    return [tokens, { tenants, pii, enter: gate(maxConcurrent) }] as const;
  });
  const authenticate = authenticator<SearchAccess>(holders);
  return ({ headers }) => {
    const access = authenticate(headers);
    if (access === undefined) throw tokenInvalid();
    return access;
  };
}

/** The tenants of a search: the one asked for, if it may be, else all that may. @throws ProblemError 403. */
export function scopeOf(allowed: TenantScope, asked: string | undefined): TenantScope {
  if (asked === undefined) return allowed;
  if (allowed !== '*' && !allowed.includes(asked)) throw tenantForbidden();
  return [asked];
}

function gate(most: number): () => () => void {
  let inside = 0;
  return () => {
    if (inside >= most) throw tooManySearches();
    inside += 1;
    let isIn = true;
    return () => {
      if (isIn) inside -= 1;
      isIn = false;
    };
  };
}
