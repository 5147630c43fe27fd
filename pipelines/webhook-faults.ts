import type { WebhookReceived } from '../schemas/types.ts';

/** How far ahead of our clock an event's time may be, ms. */
export const MAX_FUTURE_MS = 5 * 60_000;

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Adds what is wrong with a time to `reasons`. @param now when the record was written to the topic, ms. */
export function checkTime(name: string, at: number, now: number, reasons: string[]): void {
  if (!Number.isFinite(at)) reasons.push(`${name} is no time`);
  else if (at > now + MAX_FUTURE_MS) reasons.push(`${name} is in the future`);
}

/**
 * Every reason that an accepted webhook is not valid for: the events pipeline dead-letters it, the alerts pipeline counts
 * it.
 * @param now when the record was written to the topic, ms: a replay judges as the first run did.
 */
export function webhookFaults(webhook: WebhookReceived, now: number): string[] {
  const reasons: string[] = [];
  if (webhook.event_id === '') reasons.push('event_id is empty');
  if (webhook.tenant_id === '') reasons.push('tenant_id is empty');
  if (webhook.entity_id === '') reasons.push('entity_id is empty');
  if (!isJson(webhook.payload)) reasons.push('payload is no JSON');
  checkTime('occurred_at', webhook.occurred_at ?? webhook.received_at, now, reasons);
  return reasons;
}
