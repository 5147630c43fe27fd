import type { IncomingHttpHeaders } from 'node:http';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { Publication, Publisher } from '../../runtime/kafka/publisher.ts';
import { parseBody } from './body-json.ts';
import type { WebhookConfig, WebhookSource } from './config.ts';
import { extractFacts, type PayloadFacts } from './extract.ts';
import { ProblemError } from './problem.ts';
import { schemes } from './schemes/index.ts';
import type { Verification } from './schemes/scheme.ts';

export interface IngestRequest {
  readonly sourceName: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawBody: Buffer;
}

type WebhookPublication = Publication<'webhook.received'>;

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

function verify(
  config: WebhookConfig,
  source: WebhookSource,
  request: IngestRequest,
  nowMs: number,
): Extract<Verification, { ok: true }> {
  const verified = schemes[source.scheme].verify({
    headers: request.headers,
    rawBody: request.rawBody,
    secrets: source.secrets,
    nowMs,
    windowMs: config.replayWindowSeconds * 1_000,
  });
  if (verified.ok) return verified;
  const { status, code, hint } = verified;
  throw new ProblemError(verified.reason, { status, code, hint });
}

function parse(config: WebhookConfig, request: IngestRequest): { text: string; value: unknown } {
  const parsed = parseBody(request.rawBody, config.maxDepth);
  if (parsed.ok) return parsed;
  const isForm = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded');
  throw new ProblemError(parsed.reason, {
    status: 400,
    code: parsed.code,
    hint:
      isForm === true
        ? 'The sender posts a form: set its content type to application/json.'
        : 'Send one JSON document in UTF-8.',
    extensions: { position: parsed.position },
  });
}

function requireFacts(facts: PayloadFacts): PayloadFacts & { tenantId: string; eventType: string } {
  const { tenantId, eventType } = facts;
  if (eventType === undefined) {
    throw new ProblemError('neither a header nor the payload names the type of the event', {
      status: 400,
      code: 'EVENT_TYPE_MISSING',
      hint: "Send the scheme's event header, or point eventTypePointer of the source at it.",
    });
  }
  if (tenantId === undefined) {
    throw new ProblemError('the payload names no usable tenant, and the source has no own one', {
      status: 422,
      code: 'TENANT_MISSING',
      hint: 'Fill the member that tenantPointer of the source points at, or configure a tenant.',
    });
  }
  return { ...facts, tenantId, eventType };
}

/**
 * Turns a request into the record to publish: signature, then JSON, then what the payload is about.
 * @throws ProblemError for each reason not to accept it.
 */
export function toPublication(
  config: WebhookConfig,
  request: IngestRequest,
  nowMs: number,
): WebhookPublication {
  const source = sourceOf(config, request.sourceName);
  const verified = verify(config, source, request, nowMs);
  const { text, value } = parse(config, request);
  const facts = requireFacts(extractFacts(source, value, verified));
  return {
    key: `${facts.tenantId}:${facts.entityId}`,
    value: {
      event_id: `${request.sourceName}:${verified.deliveryId}`,
      tenant_id: facts.tenantId,
      source: request.sourceName,
      event_type: facts.eventType,
      delivery_id: verified.deliveryId,
      entity_id: facts.entityId,
      occurred_at: facts.occurredAt,
      received_at: nowMs,
      payload: text,
    },
  };
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
export async function publishEvent(
  config: WebhookConfig,
  publisher: Publisher,
  publication: WebhookPublication,
): Promise<void> {
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(unavailable(config, 'ACK_TIMEOUT', 'the event was not stored in time'));
  }, config.ackTimeoutMs);
  try {
    await Promise.race([publisher.publish('webhook.received', publication), timedOut]);
  } catch (error) {
    throw error instanceof ProblemError ? error : publishProblem(config, error);
  } finally {
    clearTimeout(timer);
  }
}
