import { defineTopology } from '../../../runtime/topology/builder.ts';
import { type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import { session, sliding, tumbling } from '../../../runtime/topology/windows.ts';
import type { EventRecorded, WebhookReceived } from '../../../schemas/types.ts';

/** What the fault tests' own pipeline computes; `expected.ts` computes the same in plain code. */
export const TUMBLING = { sizeMs: 10_000, graceMs: 2_000 };
export const SLIDING = { sizeMs: 20_000, everyMs: 10_000, graceMs: 2_000 };
export const SESSION = { gapMs: 3_000, graceMs: 2_000 };
export const TTL_MS = 7 * 86_400_000;
/** Tenant of the records that close all windows in the end; what they count is left out. */
export const CLOSER = 'closer';
/** Payload of a record that the step throws on. */
export const POISON = '{"poison":true}';
/** Which windows a result is of: the first part of its tenant. */
export type WindowKind = 'tumbling' | 'sliding' | 'session';

/** Called with each record before anything else is done with it: a test may throw, wait or end the process here. */
export type OnRecord = (webhook: WebhookReceived) => void;

/** Of a record of `webhook.received`. */
export function keyOf(value: { readonly tenant_id: string; readonly entity_id: string }): string {
  return `${value.tenant_id}:${value.entity_id}`;
}

function recorded(webhook: WebhookReceived): EventRecorded {
  const { event_id, tenant_id, source, event_type, entity_id, received_at, payload } = webhook;
  const occurred_at = webhook.occurred_at ?? received_at;
  return { event_id, tenant_id, source, event_type, entity_id, occurred_at, received_at, payload };
}

function resultOf(kind: WindowKind) {
  return (result: { key: string; start: number; end: number; value: number }) => ({
    tenant_id: `${kind}/${result.key}`,
    window_start: result.start,
    window_end: result.end,
    count: result.value,
    version: BigInt(result.value),
  });
}

/**
 * Counts per key, dedup by id, and three kinds of windows with a short grace: updated (late records to the DLQ),
 * closed, and sessions. Nothing is idle: when a test stands still, event time does, too.
 */
export function trialTopology(onRecord: OnRecord = () => undefined) {
  return defineTopology('trial', (t) => {
    const checked = t
      .stream('webhook.received', {
        name: 'input',
        timestamp: ({ occurred_at, received_at }) => occurred_at ?? received_at,
        idleAfterMs: 3_600_000,
      })
      .step('check', (webhook): Outcome<EventRecorded> => {
        onRecord(webhook);
        return ok(recorded(webhook));
      });
    // Before the dedup, which would hide that a record was processed again.
    checked.groupByKey().count('arrivals').toStream().ignore('its store is looked at');
    const events = checked.dedup('seen', { id: ({ event_id }) => event_id, ttlMs: TTL_MS });
    events.to('event.recorded');
    events.groupByKey().count('per-key').toStream().ignore('its store is looked at');

    const byTenant = events.groupBy(({ tenant_id }) => tenant_id);
    byTenant
      .window(tumbling(TUMBLING))
      .count('tumbling')
      .map('tumbling-result', resultOf('tumbling'))
      .to('metric.tenant.count');

    const closing = byTenant.window(sliding(SLIDING)).count('sliding', { emit: 'close' });
    closing.map('sliding-result', resultOf('sliding')).to('metric.tenant.count');
    closing.late().ignore('late records are looked at behind the other windows');

    const sessions = events
      .groupByKey()
      .window(session(SESSION))
      .count('sessions', { emit: 'close' });
    sessions.map('session-result', resultOf('session')).to('metric.tenant.count');
    sessions.late().ignore('late records are looked at behind the other windows');
  });
}
