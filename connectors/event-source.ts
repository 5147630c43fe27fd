import { z } from 'zod';

/** An RFC 6901 pointer into a payload. */
export const jsonPointer = z
  .string()
  .regex(/^(\/([^~/]|~[01])*)+$/, 'an RFC 6901 pointer such as /data/id');

/** Name of a source: part of a path, and of every event id. */
export const sourceName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'lower-case letters, digits, - and _');

/** Where in a payload to find what the record is about: the same for every kind of source. */
export const eventFields = {
  tenant: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
    .optional()
    .describe(
      'Tenant of every event of the source, unless tenantPointer finds one in the payload.',
    ),
  tenantPointer: jsonPointer
    .optional()
    .describe('Where the payload names its tenant; without a value there, `tenant` applies.'),
  eventTypePointer: jsonPointer
    .optional()
    .describe("Where the payload names the event's type, for senders that send no header for it."),
  occurredAtPointer: jsonPointer
    .optional()
    .describe('Where the payload says when it happened: ISO 8601, or unix time in s or ms.'),
};

/** The first pointer with a string or a number wins; without any, the event type stands in. */
export function entityPointers(...defaults: string[]) {
  return z
    .array(jsonPointer)
    .max(8)
    .default(defaults)
    .describe('Where the payload names what the event is about: the record key, after the tenant.');
}

/** What `extractFacts` reads of a source's configuration. */
export interface EventSource {
  readonly tenant?: string | undefined;
  readonly tenantPointer?: string | undefined;
  readonly eventTypePointer?: string | undefined;
  readonly occurredAtPointer?: string | undefined;
  readonly entityPointers: readonly string[];
}

/** For zod's `refine` of a source: an event without a tenant belongs to nobody. */
export function namesTenant(source: Omit<EventSource, 'entityPointers'>): boolean {
  return source.tenant !== undefined || source.tenantPointer !== undefined;
}

export const TENANT_NEEDED = 'a source needs `tenant`, `tenantPointer` or both';
