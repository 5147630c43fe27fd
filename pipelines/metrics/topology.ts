import { defineTopology } from '../../runtime/topology/builder.ts';
import { tumbling } from '../../runtime/topology/windows.ts';
import { webhookFaults } from '../webhook-faults.ts';
import { API_CALL, latencies, readApiCall, toApiLatency } from './steps/latency.ts';
import { enrichments, receipts, toEnrichmentRate, toErrorRate } from './steps/rates.ts';
import {
  type ContactChange,
  createTellChangeStep,
  seenStore,
  toContactVelocity,
  velocities,
} from './steps/velocity.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long a webhook's id is remembered: as long as the pipeline events does. */
export const DEDUP_TTL_MS = 4 * DAY;
/** How long after its end a window is corrected by late data. What comes later goes to the DLQ, code `LATE`. */
export const GRACE_MS = 7 * DAY;
/** The same of latencies, whose windows take a few hundred bytes each. */
export const LATENCY_GRACE_MS = DAY;

/**
 * What the dashboards show by windows of event time: golden records written, enrichments, API calls, webhooks rejected.
 * Each window is written again when it changes, with a greater version. Nothing counts twice: `event.recorded`,
 * `contact.golden` and `enrichment.completed` are written exactly once; a webhook that its sender repeats is known by its id.
 */
export const metricsPipeline = defineTopology('metrics', (t) => {
  // The time of a golden record is when the change that it follows from was captured: a company that changes makes
  // new versions of its contacts, whose own time may be years ago.
  t.streamWithTombstones('contact.golden', { name: 'contacts' })
    .process<ContactChange>('tell-change', { stores: [seenStore], create: createTellChangeStep })
    .groupBy(({ tenant }) => tenant)
    .window(tumbling({ sizeMs: MINUTE, graceMs: GRACE_MS }))
    .aggregate('contact-velocity', velocities)
    .map('to-contact-velocity', toContactVelocity)
    .to('metric.contact.velocity');

  t.stream('enrichment.completed', {
    name: 'enrichments',
    timestamp: ({ completed_at }) => completed_at,
  })
    .groupBy(({ tenant_id }) => tenant_id)
    .window(tumbling({ sizeMs: HOUR, graceMs: GRACE_MS }))
    .aggregate('enrichment-rate', enrichments)
    .map('to-enrichment-rate', toEnrichmentRate)
    .to('metric.enrichment.rate');

  t.stream('event.recorded', { name: 'events', timestamp: ({ occurred_at }) => occurred_at })
    .filter('api-calls', ({ event_type }) => event_type === API_CALL)
    .step('read-api-call', readApiCall)
    .groupBy(({ tenant }) => tenant)
    .window(tumbling({ sizeMs: MINUTE, graceMs: LATENCY_GRACE_MS }))
    .aggregate('api-latency', latencies)
    .map('to-api-latency', toApiLatency)
    .to('metric.api.latency');

  // By when it was received: what is wrong with a webhook may be its time.
  t.stream('webhook.received', {
    name: 'webhooks',
    timestamp: ({ received_at }) => received_at,
  })
    .dedup('once', {
      id: ({ event_id }) => event_id,
      ttlMs: DEDUP_TTL_MS,
      time: (_webhook, { source }) => source.record.timestamp,
    })
    .map('judge', (webhook, { source }) => ({
      tenant: webhook.tenant_id,
      rejected: webhookFaults(webhook, source.record.timestamp).length > 0,
    }))
    .groupBy(({ tenant }) => tenant)
    .window(tumbling({ sizeMs: 5 * MINUTE, graceMs: GRACE_MS }))
    .aggregate('error-rate', receipts)
    .map('to-error-rate', toErrorRate)
    .to('metric.error.rate');
});
