import type { WebhookSource } from './config.ts';

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
  for (const raw of pointer.split('/').slice(1)) {
    const name = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  return at;
}

/** A non-empty text of bounded length; numbers count as text, since ids come as either. */
function textAt(
  value: unknown,
  pointer: string | undefined,
  maxLength: number,
): string | undefined {
  if (pointer === undefined) return undefined;
  const found = atPointer(value, pointer);
  const text = typeof found === 'number' ? String(found) : found;
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

/**
 * Reads what the source's configuration points at. An entity that the payload does not name becomes the event
 * type: such events stay in order among themselves, under one key of the tenant.
 */
export function extractFacts(
  source: WebhookSource,
  value: unknown,
  verified: { readonly eventType: string | undefined; readonly occurredAt?: number },
): PayloadFacts {
  const tenant = textAt(value, source.tenantPointer, 128) ?? source.tenant;
  const eventType = verified.eventType ?? textAt(value, source.eventTypePointer, MAX_EVENT_TYPE);
  let entityId: string | undefined;
  for (const pointer of source.entityPointers) {
    entityId ??= textAt(value, pointer, MAX_ENTITY_ID);
  }
  return {
    tenantId: tenant !== undefined && TENANT.test(tenant) ? tenant : undefined,
    eventType,
    entityId: entityId ?? eventType ?? 'unknown',
    occurredAt: timeAt(value, source.occurredAtPointer) ?? verified.occurredAt ?? null,
  };
}
