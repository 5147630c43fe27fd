import { ProblemError } from '../runtime/http/problem.ts';

/** Every way in which the console refuses a request, as RFC 9457 problems. */

export function tokenInvalid(): ProblemError {
  return new ProblemError('the request has no valid token', {
    status: 401,
    code: 'TOKEN_INVALID',
    hint: 'Send Authorization: Bearer <token>, one of console.viewers.',
    headers: { 'www-authenticate': 'Bearer' },
  });
}

/** Also for a tenant that does not exist: the answer says nothing about others. */
export function tenantForbidden(): ProblemError {
  return new ProblemError('this token does not give access to that tenant', {
    status: 403,
    code: 'TENANT_FORBIDDEN',
    hint: 'Choose one of your own tenants; GET /api/tenants lists them.',
  });
}

export function operatorsOnly(): ProblemError {
  return new ProblemError('this is for operators', {
    status: 403,
    code: 'OPERATORS_ONLY',
    hint: 'Use a token of a viewer with `role: operator`.',
  });
}

/** What another site's page made the browser send, or a name that leads here by DNS rebinding. */
export function foreignOrigin(): ProblemError {
  return new ProblemError('the request does not come from the console’s own page', {
    status: 403,
    code: 'ORIGIN_FORBIDDEN',
    hint: 'Open the console at the address that it printed.',
  });
}

export function queryInvalid(detail: string): ProblemError {
  return new ProblemError(detail, {
    status: 400,
    code: 'QUERY_INVALID',
    hint: 'See docs/guides/console.md.',
  });
}

export function notFound(what: string, hint: string): ProblemError {
  return new ProblemError(`there is no ${what}`, { status: 404, code: 'NOT_FOUND', hint });
}

export function tooMany(what: string): ProblemError {
  return new ProblemError(`the console keeps as many ${what} up to date as it may`, {
    status: 503,
    code: 'CONSOLE_BUSY',
    hint: 'Close some pages, or raise console.maxStreams and console.maxCharts.',
    retryAfterSeconds: 5,
  });
}

export function busyWithLetters(): ProblemError {
  return new ProblemError('letters are being redriven or dropped at the moment', {
    status: 409,
    code: 'REDRIVE_RUNNING',
    hint: 'Wait until that is done, then try again.',
    retryAfterSeconds: 2,
  });
}
