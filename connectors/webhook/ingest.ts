import type { IncomingHttpHeaders } from 'node:http';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { ProblemError } from '../../runtime/http/problem.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import type { WebhookConfig } from './config.ts';
import type { WebhookPublication } from './receive.ts';
import { schemes } from './schemes/index.ts';
import type { Verification } from './schemes/scheme.ts';
import type { WebhookSource } from './source-config.ts';

export interface IngestRequest {
  readonly headers: IncomingHttpHeaders;
  readonly rawBody: Buffer;
}

/** The configured source of a name. @throws ProblemError 404 SOURCE_UNKNOWN. */
export function sourceOf(config: WebhookConfig, name: string): WebhookSource {
  const source = Object.hasOwn(config.sources, name) ? config.sources[name] : undefined;
  if (source !== undefined) return source;
  throw new ProblemError('there is no webhook source of this name', {
    status: 404,
    code: 'SOURCE_UNKNOWN',
    hint: 'Check the last part of the URL; sources are configured under webhook.sources.',
  });
}

/**
 * Checks the signature over the bytes as they came, compressed if they were.
 * @param secrets all that are active for the source.
 * @throws ProblemError 401, or 400 when what has to be signed is not there.
 */
export function verify(
  config: Pick<WebhookConfig, 'replayWindowSeconds'>,
  source: Pick<WebhookSource, 'scheme'>,
  secrets: readonly string[],
  request: IngestRequest,
  nowMs: number,
): Extract<Verification, { ok: true }> {
  const verified = schemes[source.scheme].verify({
    headers: request.headers,
    rawBody: request.rawBody,
    secrets,
    nowMs,
    windowMs: config.replayWindowSeconds * 1_000,
  });
  if (verified.ok) return verified;
  const { status, code, hint } = verified;
  throw new ProblemError(verified.reason, { status, code, hint });
}

function unavailable(
  config: WebhookConfig,
  code: string,
  detail: string,
  cause?: unknown,
): ProblemError {
  return new ProblemError(detail, {
    status: 503,
    code,
    hint: 'Send the same delivery again, with the same id, after the time in Retry-After.',
    retryAfterSeconds: config.retryAfterSeconds,
    cause,
  });
}

/** What a failed publication is to the sender: come back later, or our fault. */
function publishProblem(config: WebhookConfig, error: unknown): ProblemError {
  if (error instanceof ReachflowError && error.retry === 'backoff') {
    return unavailable(config, error.code, 'the event could not be stored now', error);
  }
  return new ProblemError('the event could not be stored', {
    status: 500,
    code: error instanceof ReachflowError ? error.code : 'INTERNAL',
    hint: 'Report the request id to the operator: the log has the cause.',
    cause: error instanceof Error ? error : new Error(errorMessage(error)),
  });
}

/**
 * Publishes and waits for the acks, at most `webhook.ackTimeoutMs`. A publication that outlives the wait may still
 * arrive: the sender's retry then is a duplicate by its delivery id, which deduplication drops.
 * @throws ProblemError 503 when it can succeed later, otherwise 500.
 */
export function publishEvent(
  config: WebhookConfig,
  publisher: Publisher,
  publication: WebhookPublication,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(unavailable(config, 'ACK_TIMEOUT', 'the event was not stored in time'));
    }, config.ackTimeoutMs);
    publisher.publish('webhook.received', publication).then(
      () => {
        clearTimeout(timer);
        resolve();
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(publishProblem(config, error));
      },
    );
  });
}
