import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';
import { type ErrorDomain, errorMessage, ReachflowError } from '../errors.ts';

export interface ProblemOptions {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  /** Seconds after which to try again: the Retry-After header. */
  readonly retryAfterSeconds?: number;
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the problem document, e.g. `position`. */
  readonly extensions?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** A request that is not accepted; thrown anywhere in the request's path, answered in one place. */
export class ProblemError extends ReachflowError {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly extensions: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(detail: string, options: ProblemOptions) {
    const domain: ErrorDomain =
      options.status < 500 ? 'user' : options.status === 503 ? 'external' : 'internal';
    super(detail, {
      code: options.code,
      domain,
      retry: options.retryAfterSeconds === undefined ? 'none' : 'backoff',
      hint: options.hint,
      cause: options.cause,
    });
    this.name = 'ProblemError';
    this.status = options.status;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.extensions = options.extensions ?? {};
    this.headers = options.headers ?? {};
  }
}

/** Media type of RFC 9457. */
export const PROBLEM_JSON = 'application/problem+json';

/** The RFC 9457 document of an error. `code` is stable; `detail` is for people and may change. */
export function problemDocument(error: ProblemError, requestId: string): Record<string, unknown> {
  return {
    type: `urn:reachflow:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title: STATUS_CODES[error.status] ?? 'Error',
    status: error.status,
    code: error.code,
    detail: error.message,
    hint: error.hint,
    ...error.extensions,
    request_id: requestId,
  };
}

/** A problem of anything thrown: what the framework refused (a bad URL, say) keeps its 4xx, anything else is our bug. */
export function problemOf(error: unknown, hint = 'Send a well-formed HTTP request.'): ProblemError {
  if (error instanceof ProblemError) return error;
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new ProblemError(errorMessage(error), {
      ...{ status, code: 'REQUEST_INVALID', hint, cause: error },
    });
  }
  return new ProblemError('an unexpected error', {
    status: 500,
    code: 'INTERNAL',
    hint: 'Report the request id to the operator: the log has the cause.',
    cause: error,
  });
}

/** Answers with a problem's document, headers and status. */
export function replyProblem(
  reply: FastifyReply,
  problem: ProblemError,
  requestId: string,
): FastifyReply {
  const { status, headers, retryAfterSeconds } = problem;
  if (retryAfterSeconds !== undefined) void reply.header('retry-after', String(retryAfterSeconds));
  return (
    reply
      .headers(headers)
      // Errors of the framework itself pass by hooks that would set it.
      .header('x-request-id', requestId)
      .code(status)
      .type(PROBLEM_JSON)
      .send(JSON.stringify(problemDocument(problem, requestId)))
  );
}
