import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { ProblemError, problemDocument } from '../../runtime/http/problem.ts';
import type { Publication } from '../../runtime/kafka/publisher.ts';
import { atPointer, extractFacts } from '../extract.ts';
import type { SocketSource } from './config.ts';

/** A message that was understood as far as its id. */
export interface Message {
  readonly id: string;
  readonly value: unknown;
  readonly text: string;
}

const MAX_ID = 512;

/** Reads a frame. @throws ProblemError 400 `JSON_INVALID`, `ID_MISSING`. */
export function parseMessage({ idPointer }: SocketSource, text: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ProblemError(`the message is no JSON: ${errorMessage(error)}`, {
      status: 400,
      code: 'JSON_INVALID',
      hint: 'Send one JSON document a text frame.',
    });
  }
  const found = atPointer(value, idPointer);
  const id = typeof found === 'number' ? String(found) : found;
  if (typeof id === 'string' && id !== '' && id.length <= MAX_ID)
    return { id: id.toWellFormed(), value, text };
  throw new ProblemError(`the message has no id at ${idPointer}`, {
    status: 400,
    code: 'ID_MISSING',
    hint: `Give each message an id of at most ${MAX_ID} characters, the same when it is sent again.`,
  });
}

/** A message as the record to publish. @param now ms since the epoch. @throws ProblemError 422 `TENANT_MISSING`. */
export function toEvent(
  name: string,
  source: SocketSource,
  { id, value, text }: Message,
  now: number,
): Publication<'webhook.received'> {
  const { tenantId, eventType, entityId, occurredAt } = extractFacts(
    source,
    { value },
    { eventType: undefined },
  );
  if (tenantId === undefined) {
    throw new ProblemError('the message names no usable tenant, and the source has no own one', {
      status: 422,
      code: 'TENANT_MISSING',
      hint: 'Fill the member that tenantPointer of the source points at, or configure a tenant.',
    });
  }
  return {
    key: `${tenantId}:${entityId}`,
    value: {
      event_id: `${name}:${id}`,
      tenant_id: tenantId,
      source: name,
      event_type: eventType ?? 'message',
      delivery_id: id,
      entity_id: entityId,
      occurred_at: occurredAt,
      received_at: now,
      payload: text,
    },
  };
}

/** What a failed publication is to the sender. @param retryAfterSeconds when it can succeed later. */
export function publishProblem(error: unknown, retryAfterSeconds: number): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof ReachflowError && error.retry === 'backoff') {
    return new ProblemError('the message could not be stored now', {
      status: 503,
      code: error.code,
      hint: 'Send it again, with the same id, after so many seconds.',
      retryAfterSeconds,
      cause: error,
    });
  }
  return new ProblemError('the message could not be stored', {
    status: 500,
    code: error instanceof ReachflowError ? error.code : 'INTERNAL',
    hint: 'Report the id to the operator: the log has the cause.',
    cause: error,
  });
}

/** The frame that answers a message that is stored, in all replicas. */
export function ackFrame(id: string): string {
  return `{"id":${JSON.stringify(id)},"ok":true}`;
}

/** The frame that answers a message that is not. @param id null where none was understood. */
export function problemFrame(id: string | null, problem: ProblemError, connection: string): string {
  const { retryAfterSeconds } = problem;
  const after = retryAfterSeconds === undefined ? {} : { retry_after: retryAfterSeconds };
  return JSON.stringify({
    id,
    ok: false,
    problem: { ...problemDocument(problem, connection), ...after },
  });
}
