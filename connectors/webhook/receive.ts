import type { IncomingHttpHeaders } from 'node:http';
import { ProblemError } from '../../runtime/http/problem.ts';
import type { Publication } from '../../runtime/kafka/publisher.ts';
import { extractFacts, textAt } from '../extract.ts';
import { cloudEventId } from './cloud-event.ts';
import { type EventFault, type ParsedEvents, type ReceivedEvent, unreadable } from './events.ts';
import { headerToken, type Verification } from './schemes/scheme.ts';
import type { WebhookSource } from './source-config.ts';

export type WebhookPublication = Publication<'webhook.received'>;

/** An event of a batch that is not stored. */
export interface RefusedEvent extends EventFault {
  /** 0-based, in the batch. */
  readonly index: number;
}

/** What a request comes to. */
export interface Received {
  readonly isBatch: boolean;
  readonly publications: readonly WebhookPublication[];
  /** Left out of a batch, by its sender's leave. */
  readonly refused: readonly RefusedEvent[];
}

/** A verified request, and how its source is to be read. */
export interface ReceiveContext {
  readonly sourceName: string;
  readonly source: WebhookSource;
  readonly verified: Extract<Verification, { ok: true }>;
  readonly headers: IncomingHttpHeaders;
  /** ms since the epoch. */
  readonly nowMs: number;
}

const MAX_EVENT_ID = 200;
const TOKEN = /^[\x21-\x7e]+$/;
/** Faults that a problem document lists; the count is always right. */
const MAX_LISTED = 100;
const HANDLING = /(?:^|,)\s*handling\s*=\s*"?(strict|lenient)"?\s*(?:[,;]|$)/i;

/** What one invalid event does to its batch: RFC 7240's `handling` if the request has it, or what the source says. */
export function batchHandlingOf(
  source: Pick<WebhookSource, 'batchHandling'>,
  prefer: string | string[] | undefined,
): 'strict' | 'lenient' {
  const asked = HANDLING.exec(String(prefer ?? ''))?.[1]?.toLowerCase();
  return asked === 'strict' || asked === 'lenient' ? asked : source.batchHandling;
}

/**
 * Turns the events of a verified request into the records to publish.
 *
 * A batch is accepted as a whole or not at all (`strict`): a sender sees one status, and what it sent is either stored
 * or still its own. `lenient` stores what is valid and names the rest.
 * @throws ProblemError when its only event is invalid; BATCH_INVALID when an event of a strict batch is, or all are.
 */
export function receive(parsed: ParsedEvents, context: ReceiveContext): Received {
  const publications: WebhookPublication[] = [];
  const refused: RefusedEvent[] = [];
  for (const [index, each] of parsed.events.entries()) {
    const outcome = each.ok
      ? toPublication(each.event, parsed.isBatch ? index : undefined, context)
      : each.fault;
    if ('code' in outcome) refused.push({ index, ...outcome });
    else publications.push(outcome);
  }
  const [first] = refused;
  if (first === undefined) return { isBatch: parsed.isBatch, publications, refused };
  if (!parsed.isBatch) throw unreadable(first);
  const handling = batchHandlingOf(context.source, context.headers['prefer']);
  if (handling === 'strict' || publications.length === 0) {
    throw batchInvalid(parsed.events.length, refused);
  }
  return { isBatch: true, publications, refused };
}

/** As they are listed in answers. */
export function listed(refused: readonly RefusedEvent[]): readonly Omit<RefusedEvent, 'status'>[] {
  return refused.slice(0, MAX_LISTED).map(({ status: _status, ...rest }) => rest);
}

function batchInvalid(count: number, refused: readonly RefusedEvent[]): ProblemError {
  return new ProblemError(`${refused.length} of ${count} events are invalid, and none was stored`, {
    status: 400,
    code: 'BATCH_INVALID',
    hint: 'Correct or leave out the listed events; `Prefer: handling=lenient` stores the others.',
    extensions: { refused: refused.length, events: listed(refused) },
  });
}

function toPublication(
  event: ReceivedEvent,
  index: number | undefined,
  context: ReceiveContext,
): WebhookPublication | EventFault {
  const { sourceName, source, verified, headers, nowMs } = context;
  const deliveryId = deliveryIdOf(event, index, context);
  if (deliveryId === undefined) return eventIdMissing(source);
  const facts = extractFacts(source, event, {
    ...verified,
    tenant: source.tenantHeader && headerToken(headers, source.tenantHeader),
  });
  const { tenantId, eventType } = facts;
  if (eventType === undefined) return EVENT_TYPE_MISSING;
  if (tenantId === undefined) return TENANT_MISSING;
  return {
    key: `${tenantId}:${facts.entityId}`,
    value: {
      event_id: `${sourceName}:${deliveryId}`,
      tenant_id: tenantId,
      source: sourceName,
      event_type: eventType,
      delivery_id: deliveryId,
      entity_id: facts.entityId,
      occurred_at: facts.occurredAt,
      received_at: nowMs,
      payload: event.text,
    },
  };
}

/**
 * What a retry is told by: the event's own id where it is signed with the body, so that it stays the same when a
 * batch is cut otherwise; or the delivery's, with the event's place in the batch.
 */
function deliveryIdOf(
  { value, cloudEvent, isBinary }: ReceivedEvent,
  index: number | undefined,
  { source, verified }: ReceiveContext,
): string | undefined {
  if (cloudEvent !== undefined && (isBinary !== true || verified.deliveryId === undefined)) {
    return cloudEventId(cloudEvent);
  }
  if (cloudEvent === undefined && source.eventIdPointer !== undefined) {
    const own = textAt(value, source.eventIdPointer, MAX_EVENT_ID);
    return own !== undefined && TOKEN.test(own) ? own : undefined;
  }
  return index === undefined || verified.deliveryId === undefined
    ? verified.deliveryId
    : `${verified.deliveryId}#${index}`;
}

function eventIdMissing({ eventIdPointer }: WebhookSource): EventFault {
  return {
    code: 'EVENT_ID_MISSING',
    detail: `the payload has no id at ${eventIdPointer}: 1 to ${MAX_EVENT_ID} printable ASCII characters`,
    hint: 'Send an id that is unique to the event and the same on each retry: duplicates are told by it.',
  };
}

const EVENT_TYPE_MISSING: EventFault = {
  code: 'EVENT_TYPE_MISSING',
  detail: 'neither a header nor the payload names the type of the event',
  hint: "Send the scheme's event header, or point eventTypePointer of the source at it.",
};

const TENANT_MISSING: EventFault = {
  status: 422,
  code: 'TENANT_MISSING',
  detail: 'the request names no usable tenant, and the source has no own one',
  hint: 'Fill the member that tenantPointer of the source points at, or configure a tenant.',
};
