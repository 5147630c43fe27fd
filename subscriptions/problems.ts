import { ProblemError } from '../runtime/http/problem.ts';

/** Every way in which a subscription is refused or ended, as RFC 9457 problems. */

export const RETRY_AFTER_SECONDS = 5;
const RESUME = 'Connect again with the cursor: nothing is lost.';

export function tokenInvalid(): ProblemError {
  return new ProblemError('the request has no valid bearer token', {
    status: 401,
    code: 'TOKEN_INVALID',
    hint: 'Send Authorization: Bearer <token>, one of subscriptions.subscribers.',
    headers: { 'www-authenticate': 'Bearer' },
  });
}

/** Also for a topic that does not exist: the answer says nothing about others' topics. */
export function topicForbidden(): ProblemError {
  return new ProblemError('this subscriber may not read this topic', {
    status: 403,
    code: 'TOPIC_FORBIDDEN',
    hint: 'Add it to topics of the subscriber.',
  });
}

export function queryInvalid(detail: string): ProblemError {
  return new ProblemError(detail, {
    status: 400,
    code: 'QUERY_INVALID',
    hint: 'start is earliest or latest, cursor the text that came with an event; not both.',
  });
}

export function cursorInvalid(): ProblemError {
  return new ProblemError('this is no cursor of this topic', {
    status: 400,
    code: 'CURSOR_INVALID',
    hint: 'Send it as it came, to the topic that it came from; or start=earliest.',
  });
}

export function cursorExpired(): ProblemError {
  return new ProblemError('records behind the cursor are not there any more', {
    status: 410,
    code: 'CURSOR_EXPIRED',
    hint: 'Some were deleted before they were read. Go on with start=earliest, and expect a gap.',
  });
}

export function tooManyConnections(): ProblemError {
  return new ProblemError('this subscriber has as many connections as it may', {
    status: 429,
    code: 'TOO_MANY_CONNECTIONS',
    hint: 'Close some, or raise maxConnections of the subscriber.',
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  });
}

export function slowConsumer(): ProblemError {
  return new ProblemError('the client does not read as fast as records come', {
    status: 503,
    code: 'SLOW_CONSUMER',
    hint: `${RESUME} Read faster, or subscribe to less.`,
    retryAfterSeconds: 1,
  });
}

export function shuttingDown(): ProblemError {
  return new ProblemError('this instance is shutting down', {
    status: 503,
    code: 'SHUTTING_DOWN',
    hint: RESUME,
    retryAfterSeconds: 1,
  });
}

export function unavailable(code: string, detail: string, cause?: unknown): ProblemError {
  return new ProblemError(detail, {
    status: 503,
    code,
    hint: RESUME,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
    cause,
  });
}
