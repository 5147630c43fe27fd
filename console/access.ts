import type { FastifyRequest } from 'fastify';
import { ReachflowError } from '../runtime/errors.ts';
import { authenticator } from '../runtime/http/bearer.ts';
import type { ConsoleConfig } from './config.ts';
import { foreignOrigin, operatorsOnly, tenantForbidden, tokenInvalid } from './problems.ts';

/** Who looks, as a request tells. */
export interface Viewer {
  readonly name: string;
  readonly tenants: '*' | ReadonlySet<string>;
  readonly isOperator: boolean;
}

/** Whoever is on this machine, where no viewers are configured. */
const EVERYBODY: Viewer = { name: 'everybody', tenants: '*', isOperator: true };
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

/** Whether everybody on this machine may do everything. */
export function isOpen({ viewers }: Pick<ConsoleConfig, 'viewers'>): boolean {
  return Object.keys(viewers).length === 0;
}

/** @throws ReachflowError `CONSOLE_OPEN` where others than this machine could do everything. */
export function requireGuarded(config: Pick<ConsoleConfig, 'host' | 'viewers'>): void {
  if (!isOpen(config) || LOOPBACK.has(config.host)) return;
  throw new ReachflowError(`the console would be open to everybody who reaches ${config.host}`, {
    code: 'CONSOLE_OPEN',
    domain: 'user',
    hint: 'Configure console.viewers with tokens, or leave console.host at 127.0.0.1.',
  });
}

/**
 * Decides who a request is from. Tokens are taken from the Authorization header alone: no page of another site can send
 * one, and none ends up in a log. Without viewers the Host has to be this machine's, so that no foreign name leads here.
 * @returns throws ProblemError 401 or 403.
 */
export function accessControl(config: ConsoleConfig): (request: FastifyRequest) => Viewer {
  if (isOpen(config)) {
    return ({ hostname }) => {
      if (!LOOPBACK.has(hostname.replace(/^\[|\]$/g, ''))) throw foreignOrigin();
      return EVERYBODY;
    };
  }
  const authenticate = authenticator(
    Object.entries(config.viewers).map(([name, { tokens, tenants, role }]) => {
      const isOperator = role === 'operator';
      const own = tenants === '*' ? ('*' as const) : new Set(tenants);
      return [tokens, { name, tenants: own, isOperator }] as const;
    }),
  );
  return ({ headers }) => {
    const viewer = authenticate(headers);
    if (viewer === undefined) throw tokenInvalid();
    return viewer;
  };
}

/**
 * What changes something has to come from the page itself: browsers say where a request was made (Fetch Metadata), and send
 * JSON to another origin only after asking, which nobody here answers.
 * @throws ProblemError 403.
 */
export function requireOwnPage({ headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  const isOwn = site === undefined || site === 'same-origin' || site === 'none';
  const isJson = headers['content-type']?.split(';')[0]?.trim() === 'application/json';
  if (!isOwn || !isJson) throw foreignOrigin();
}

/** @throws ProblemError 403. */
export function requireOperator({ isOperator }: Viewer): void {
  if (!isOperator) throw operatorsOnly();
}

/**
 * The tenant that a viewer asked for; '' is all of them. Who asks for none and may see a single one, gets that.
 * @throws ProblemError 403.
 */
export function tenantFor({ tenants }: Viewer, asked: string): string {
  if (tenants === '*') return asked;
  const [only = ''] = tenants;
  if (asked === '' && tenants.size === 1) return only;
  if (!tenants.has(asked)) throw tenantForbidden();
  return asked;
}

/** Whether a viewer may see what is of a tenant; what is of none, or of nobody known, is for those who see all. */
export function maySee({ tenants }: Viewer, tenant: string | undefined): boolean {
  return tenants === '*' || (tenant !== undefined && tenants.has(tenant));
}
