import { invalid } from '../../../runtime/operators/validation.ts';
import { type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import type {
  CdcPublicEventsValue,
  EventRecorded,
  WebhookReceived,
} from '../../../schemas/types.ts';
import { checkTime, isJson, webhookFaults } from '../../webhook-faults.ts';

/** @param now when the record was written to the topic, ms: a replay judges as the first run did. */
export function validateWebhook(webhook: WebhookReceived, now: number): Outcome<EventRecorded> {
  const reasons = webhookFaults(webhook, now);
  if (reasons.length > 0) return invalid('webhook', reasons, webhook.tenant_id);
  return ok({
    event_id: webhook.event_id,
    tenant_id: webhook.tenant_id,
    source: `webhook:${webhook.source}`,
    event_type: webhook.event_type,
    entity_id: webhook.entity_id,
    occurred_at: webhook.occurred_at ?? webhook.received_at,
    received_at: webhook.received_at,
    payload: webhook.payload,
  });
}

/** @param now when the record was written to the topic, ms. */
export function validateEventRow(row: CdcPublicEventsValue, now: number): Outcome<EventRecorded> {
  const reasons: string[] = [];
  const tenant = row.tenant_id ?? '';
  if (tenant === '') reasons.push('tenant_id is empty');
  if (row.kind === null || row.kind.trim() === '') reasons.push('kind is empty');
  const occurredAt = row.occurred_at === null ? Number.NaN : Date.parse(row.occurred_at);
  checkTime('occurred_at', occurredAt, now, reasons);
  const payload = row.props ?? '{}';
  if (!isJson(payload)) reasons.push('props is no JSON');
  if (reasons.length > 0) return invalid(`event ${row.id}`, reasons, tenant);
  return ok({
    event_id: `cdc:events:${row.id}`,
    tenant_id: tenant,
    source: 'cdc:events',
    event_type: row.kind ?? '',
    entity_id: row.contact_id === null ? String(row.id) : String(row.contact_id),
    occurred_at: occurredAt,
    received_at: now,
    payload,
  });
}
