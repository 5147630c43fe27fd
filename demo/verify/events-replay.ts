import type {
  CdcPublicEventsEnvelope,
  CdcPublicEventsValue,
  WebhookReceived,
} from '../../schemas/types.ts';
import { digestOf } from '../input/deliveries.ts';
import { type Rejections, reject, type SourceRecord } from './position.ts';

/** An event that must be in the store. */
export interface ExpectedEvent {
  readonly tenantId: string;
  readonly source: string;
  readonly eventType: string;
  /** ms since the epoch. */
  readonly occurredAt: number;
  readonly payloadDigest: string;
}

/** What became of the records of one topic: their sum is what came in. */
export interface Tally {
  records: number;
  accepted: number;
  duplicates: number;
  rejected: number;
  /** Updates, deletes and tombstones: no events. */
  ignored: number;
}

const DEDUP_TTL_MS = 96 * 3_600_000;
const MAX_FUTURE_MS = 5 * 60_000;
const MINUTE_MS = 60_000;

function tally(): Tally {
  return { records: 0, accepted: 0, duplicates: 0, rejected: 0, ignored: 0 };
}

/**
 * What the `events` pipeline has to make of its source topics, worked out again without any of its code, its
 * state or its transactions. Feed it each partition in offset order.
 */
export class EventsReplay {
  readonly events = new Map<string, ExpectedEvent>();
  /** `<tenant>@<start of the minute, ms>` → events. */
  readonly counts = new Map<string, number>();
  readonly webhooks: Tally = tally();
  readonly rows: Tally = tally();
  readonly rejections: Rejections = new Map();
  /** Event ids of all webhooks in the topic, whatever became of them. */
  readonly webhookIds = new Set<string>();
  /** The last version of each row that is not deleted: what the source table has to hold. */
  readonly lastRows = new Map<string, string>();
  readonly #firstSeen = new Map<string, number>();

  webhook(record: SourceRecord<WebhookReceived>): void {
    const { value, timestamp } = record;
    this.webhooks.records += 1;
    if (value === null) {
      this.webhooks.ignored += 1;
      return;
    }
    if (value === undefined) {
      this.#reject('webhook.received', record, ['undecodable'], this.webhooks);
      return;
    }
    this.webhookIds.add(value.event_id);
    const occurredAt = value.occurred_at ?? value.received_at;
    const reasons = [
      ...(value.event_id === '' ? ['event_id is empty'] : []),
      ...(value.tenant_id === '' ? ['tenant_id is empty'] : []),
      ...(value.entity_id === '' ? ['entity_id is empty'] : []),
      ...(isJson(value.payload) ? [] : ['payload is no JSON']),
      ...(occurredAt > timestamp + MAX_FUTURE_MS ? ['occurred_at is in the future'] : []),
    ];
    if (reasons.length > 0) {
      this.#reject('webhook.received', record, reasons, this.webhooks);
      return;
    }
    const event = {
      tenantId: value.tenant_id,
      source: `webhook:${value.source}`,
      eventType: value.event_type,
      occurredAt,
      payloadDigest: digestOf(value.payload),
    };
    this.#accept(value.event_id, event, timestamp, this.webhooks);
  }

  change(record: SourceRecord<CdcPublicEventsEnvelope>): void {
    const { value, timestamp } = record;
    this.rows.records += 1;
    if (value === undefined) {
      this.#reject('cdc.public.events', record, ['undecodable'], this.rows);
      return;
    }
    this.#track(value);
    const row = value?.after;
    if (row === undefined || row === null || (value?.op !== 'c' && value?.op !== 'r')) {
      this.rows.ignored += 1;
      return;
    }
    const occurredAt = Date.parse(row.occurred_at ?? '');
    const reasons = [
      ...((row.tenant_id ?? '') === '' ? ['tenant_id is empty'] : []),
      ...((row.kind ?? '').trim() === '' ? ['kind is empty'] : []),
      ...(Number.isNaN(occurredAt) ? ['occurred_at is no time'] : []),
      ...(occurredAt > timestamp + MAX_FUTURE_MS ? ['occurred_at is in the future'] : []),
    ];
    if (reasons.length > 0) {
      this.#reject('cdc.public.events', record, reasons, this.rows);
      return;
    }
    const event = {
      tenantId: row.tenant_id ?? '',
      source: 'cdc:events',
      eventType: row.kind ?? '',
      occurredAt,
      payloadDigest: digestOf(row.props ?? '{}'),
    };
    this.#accept(`cdc:events:${row.id}`, event, timestamp, this.rows);
  }

  #track(value: CdcPublicEventsEnvelope | null): void {
    const { after, before, op } = value ?? { after: null, before: null, op: '' };
    if (after !== null) this.lastRows.set(String(after.id), eventRowText(after));
    else if (before !== null && op === 'd') this.lastRows.delete(String(before.id));
  }

  #accept(eventId: string, event: ExpectedEvent, timestamp: number, counts: Tally): void {
    const seen = this.#firstSeen.get(eventId);
    if (seen !== undefined && seen + DEDUP_TTL_MS > timestamp) {
      counts.duplicates += 1;
      return;
    }
    this.#firstSeen.set(eventId, timestamp);
    counts.accepted += 1;
    this.events.set(eventId, event);
    const minute = event.occurredAt - (event.occurredAt % MINUTE_MS);
    const key = `${event.tenantId}@${minute}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }

  #reject(
    topic: string,
    record: SourceRecord<unknown>,
    reasons: readonly string[],
    counts: Tally,
  ): void {
    counts.rejected += 1;
    reject(this.rejections, topic, 'events', record, reasons);
  }
}

/** The columns of an event's row that verification compares, as text. */
export function eventRowText(
  row: Pick<CdcPublicEventsValue, 'tenant_id' | 'kind' | 'contact_id' | 'occurred_at'>,
): string {
  const at = Date.parse(row.occurred_at ?? '');
  return JSON.stringify([row.tenant_id, row.kind, row.contact_id, at]);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
