import { defineTopology } from '../../runtime/topology/builder.ts';
import { tumbling } from '../../runtime/topology/windows.ts';
import { readEventRow, rowTime } from './steps/read-row.ts';
import { validateWebhook } from './steps/validate.ts';

/** How long an event id is remembered: longer than senders of webhooks retry (up to 80 h). */
export const DEDUP_TTL_MS = 96 * 3_600_000;
export const WINDOW_MS = 60_000;
/** How long after its end a window still takes events. */
export const GRACE_MS = 7 * 86_400_000;

/** Accepted webhooks and rows of the events table → valid events, each once, and their count per tenant and minute. */
export const eventsPipeline = defineTopology('events', (t) => {
  const webhooks = t
    .stream('webhook.received', {
      name: 'webhooks',
      timestamp: ({ occurred_at, received_at }) => occurred_at ?? received_at,
    })
    .step('validate-webhook', (webhook, { source }) =>
      validateWebhook(webhook, source.record.timestamp),
    );
  const rows = t
    .stream('cdc.public.events', { name: 'rows', timestamp: rowTime })
    .step('read-row', (envelope, { source }) => readEventRow(envelope, source.record.timestamp));

  const events = webhooks.merge('events', rows).dedup('seen', {
    id: ({ event_id }) => event_id,
    ttlMs: DEDUP_TTL_MS,
    // When it was written to the topic: a sender's clock does not shorten the memory.
    time: (_event, { source }) => source.record.timestamp,
  });
  events.to('event.recorded', { key: ({ tenant_id, entity_id }) => `${tenant_id}:${entity_id}` });

  events
    .groupBy(({ tenant_id }) => tenant_id)
    .window(tumbling({ sizeMs: WINDOW_MS, graceMs: GRACE_MS }))
    .count('tenant-counts')
    .map('to-metric', ({ key, start, end, value }) => ({
      tenant_id: key,
      window_start: start,
      window_end: end,
      count: value,
      // A count only grows, so it orders its own versions.
      version: BigInt(value),
    }))
    .to('metric.tenant.count');
});
