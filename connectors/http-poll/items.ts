import { createHash } from 'node:crypto';
import { inferSchema, initParser } from 'udsv';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { Publication } from '../../runtime/kafka/publisher.ts';
import { parseExact } from '../exact-json.ts';
import { atPointer, extractFacts } from '../extract.ts';
import type { PollSource } from './config.ts';

/** A parsed answer. */
export interface Page {
  readonly items: readonly unknown[];
  /** The whole document; undefined for CSV. */
  readonly document: unknown;
}

function invalid(message: string, hint: string, cause?: unknown): ReachflowError {
  return new ReachflowError(message, {
    code: 'POLL_ANSWER_INVALID',
    domain: 'external',
    retry: 'backoff',
    hint,
    cause,
  });
}

/** The records of an answer. @throws ReachflowError `POLL_ANSWER_INVALID`. */
export function parsePage({ format, itemsPointer }: PollSource, body: Buffer): Page {
  const text = new TextDecoder().decode(body);
  if (format === 'csv') return { items: parseCsv(text), document: undefined };
  let document: unknown;
  try {
    document = parseExact(text);
  } catch (error) {
    throw invalid(
      `the answer is no JSON: ${errorMessage(error)}`,
      'Set format of the source.',
      error,
    );
  }
  const items = itemsPointer === undefined ? document : atPointer(document, itemsPointer);
  if (Array.isArray(items)) return { items, document };
  throw invalid(
    `the answer has no list of records at ${itemsPointer ?? 'its root'}`,
    'Point itemsPointer of the source at it.',
  );
}

function parseCsv(text: string): readonly unknown[] {
  if (text.trim() === '') return [];
  try {
    return initParser(inferSchema(text)).stringObjs(text);
  } catch (error) {
    throw invalid(
      `the answer is no CSV: ${errorMessage(error)}`,
      'Set format of the source.',
      error,
    );
  }
}

/** A text or a number that is one; undefined for anything else. */
function idPart(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' && value.length <= 512 ? value : undefined;
}

/** The source's id of a record, the same each time it comes. */
function deliveryIdOf({ idPointers }: PollSource, item: unknown, payload: string): string {
  const parts = idPointers.map((pointer) => idPart(atPointer(item, pointer)));
  if (parts.every((part) => part !== undefined)) return parts.join(':').toWellFormed();
  return `sha256:${createHash('sha256').update(payload).digest('hex')}`;
}

/**
 * A record as an event of the topic. @param now ms since the epoch.
 * @throws ReachflowError `POLL_TENANT_MISSING` (domain user): a record without a tenant belongs to nobody.
 */
export function toEvent(
  name: string,
  source: PollSource,
  item: unknown,
  now: number,
): Publication<'webhook.received'> {
  const payload = JSON.stringify(item);
  const deliveryId = deliveryIdOf(source, item, payload);
  const facts = extractFacts(source, { value: item }, { eventType: undefined });
  if (facts.tenantId === undefined) {
    throw new ReachflowError(`record ${deliveryId} names no usable tenant`, {
      code: 'POLL_TENANT_MISSING',
      domain: 'user',
      retry: 'backoff',
      hint: 'Set tenant of the source for records like it; nothing behind it is read until then.',
    });
  }
  const entityId = facts.entityId === 'unknown' ? source.eventType : facts.entityId;
  return {
    key: `${facts.tenantId}:${entityId}`,
    value: {
      event_id: `${name}:${deliveryId}`,
      tenant_id: facts.tenantId,
      source: name,
      event_type: facts.eventType ?? source.eventType,
      delivery_id: deliveryId,
      entity_id: entityId,
      occurred_at: facts.occurredAt,
      received_at: now,
      payload,
    },
  };
}
