import { randomUUID } from 'node:crypto';
import type { ReachflowError } from '../../../runtime/errors.ts';
import { ProblemError, problemDocument } from '../../../runtime/http/problem.ts';

/** Seconds after which to try again what an engine that is away, or its way to us, has failed. */
const RETRY_SECONDS = 5;

/** What tus's server answers with: it takes thrown objects of this shape. */
export function tusRefusal(problem: ProblemError): { status_code: number; body: string } {
  return {
    status_code: problem.status,
    body: JSON.stringify(problemDocument(problem, randomUUID())),
  };
}

/** A failure of ours as a problem. */
export function failureProblem({ code, message, retry, hint }: ReachflowError): ProblemError {
  const passes = retry === 'backoff';
  return new ProblemError(message, {
    status: passes ? 503 : 500,
    code,
    hint: hint ?? 'Report the request id to the operator: the log has the cause.',
    ...(passes ? { retryAfterSeconds: RETRY_SECONDS } : {}),
  });
}
