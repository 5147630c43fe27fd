import type { EventSource } from './event-source.ts';
import { rawText } from './exact-json.ts';

/** What a record needs to know of its payload. */
export interface PayloadFacts {
  /** Undefined when neither the payload nor the configuration names one. */
  readonly tenantId: string | undefined;
  /** Undefined when neither the header nor the payload names one. */
  readonly eventType: string | undefined;
  readonly entityId: string;
  /** ms since the epoch; null when the sender does not say. */
  readonly occurredAt: number | null;
}

const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MAX_EVENT_TYPE = 200;
const MAX_ENTITY_ID = 512;
/** Numbers from here on are milliseconds: as seconds they would be after the year 5138. */
const FIRST_MILLISECONDS = 1e11;
const ISO_8601 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/;

/** The value at an RFC 6901 pointer, own properties only; undefined when there is none. */
export function atPointer(value: unknown, pointer: string): unknown {
  let at: unknown = value;
  if (at === undefined) return undefined;
  for (const raw of pointer.split('/').slice(1)) {
    const name = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  return rawText(at);
}

/**
 * A non-empty text of bounded length; numbers count as text, since ids come as either. An integer beyond 2^53 does not:
 * it was rounded when it was parsed, and two entities would become one.
 */
export function textAt(
  value: unknown,
  pointer: string | undefined,
  maxLength: number,
): string | undefined {
  if (pointer === undefined) return undefined;
  const found = atPointer(value, pointer);
  const isExact = typeof found === 'number' && Math.abs(found) <= Number.MAX_SAFE_INTEGER;
  const text = isExact ? String(found) : found;
  if (typeof text !== 'string' || text === '' || text.length > maxLength) return undefined;
  return text.toWellFormed();
}

function timeAt(value: unknown, pointer: string | undefined): number | undefined {
  if (pointer === undefined) return undefined;
  const found = atPointer(value, pointer);
  if (typeof found === 'string' && ISO_8601.test(found)) {
    const ms = Date.parse(found);
    return Number.isNaN(ms) ? undefined : ms;
  }
  if (typeof found !== 'number' || found < 0 || found > 8.64e15) return undefined;
  return Math.round(found < FIRST_MILLISECONDS ? found * 1_000 : found);
}

/** A payload, and the CloudEvent that it came in, if it did. */
export interface GivenPayload {
  readonly value: unknown;
  readonly cloudEvent?: { readonly data?: unknown } | undefined;
}

/** What the request as a whole says, for all of its events. */
export interface RequestFacts {
  readonly eventType: string | undefined;
  /** ms since the epoch. */
  readonly occurredAt?: number;
  /** The value of `tenantHeader`. */
  readonly tenant?: string | undefined;
}

/**
 * Reads what the source's configuration points at. An entity that the payload does not name becomes the event
 * type: such events stay in order among themselves, under one key of the tenant.
 *
 * Of a CloudEvent, the pointers look into `data`, as if it had been sent alone (the tenant may be an extension, too);
 * `type`, `subject` and `time` say the rest.
 */
export function extractFacts(
  source: EventSource,
  { value, cloudEvent }: GivenPayload,
  request: RequestFacts,
): PayloadFacts {
  const payload = cloudEvent === undefined ? value : cloudEvent.data;
  const tenant =
    textAt(payload, source.tenantPointer, 128) ??
    textAt(cloudEvent, source.tenantPointer, 128) ??
    request.tenant ??
    source.tenant;
  const eventType =
    textAt(cloudEvent, '/type', MAX_EVENT_TYPE) ??
    request.eventType ??
    textAt(payload, source.eventTypePointer, MAX_EVENT_TYPE);
  let entityId: string | undefined;
  for (const pointer of source.entityPointers) {
    entityId ??= textAt(payload, pointer, MAX_ENTITY_ID);
  }
  entityId ??= textAt(cloudEvent, '/subject', MAX_ENTITY_ID);
  return {
    tenantId: tenant !== undefined && TENANT.test(tenant) ? tenant : undefined,
    eventType,
    entityId: entityId ?? eventType ?? 'unknown',
    occurredAt:
      timeAt(payload, source.occurredAtPointer) ??
      timeAt(cloudEvent, '/time') ??
      request.occurredAt ??
      null,
  };
}
