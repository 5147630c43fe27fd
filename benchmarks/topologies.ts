import { generateKeyPairSync, sign, verify } from 'node:crypto';
import type { TopologyBuilder } from '../runtime/topology/api.ts';
import { defineTopology } from '../runtime/topology/builder.ts';
import { groupOf, sourcesOf, type Topology } from '../runtime/topology/graph.ts';
import { tumbling } from '../runtime/topology/windows.ts';
import type { EventRecorded, WebhookReceived } from '../schemas/types.ts';
import type { WorkName } from './harness/contestant.ts';
import type { Read } from './harness/protocol.ts';
import { GRACE_MS, WINDOW_MS } from './input/truth.ts';
import { DROPPED_TYPE } from './input/workload.ts';

const DEDUP_TTL_MS = 24 * 3_600_000;

function occurredAt({ occurred_at, received_at }: WebhookReceived): number {
  return occurred_at ?? received_at;
}

function recorded(webhook: WebhookReceived): EventRecorded {
  return {
    event_id: webhook.event_id,
    tenant_id: webhook.tenant_id,
    source: `webhook:${webhook.source}`,
    event_type: webhook.event_type,
    entity_id: webhook.entity_id,
    occurred_at: occurredAt(webhook),
    received_at: webhook.received_at,
    payload: webhook.payload,
  };
}

/** T0: decode, filter, map, encode. */
const filter = defineTopology('bench-filter', (t) => {
  t.stream('webhook.received', { timestamp: occurredAt })
    .filter('wanted', ({ event_type }) => event_type !== DROPPED_TYPE)
    .map('record', recorded)
    .to('event.recorded');
});

const signingKeys = generateKeyPairSync('ed25519');

/**
 * A step that computes for about 150 µs, as attestation or scoring does: it signs each event and checks the signature
 * (Ed25519, RFC 8032).
 */
function attested(event: EventRecorded): EventRecorded {
  const text = Buffer.from(`${event.event_id}\n${event.payload}`);
  const signature = sign(null, text, signingKeys.privateKey);
  if (verify(null, text, signingKeys.publicKey, signature)) return event;
  throw new Error(`the signature of event ${event.event_id} is wrong`);
}

/** T1: each event id once, and a count per tenant and minute of event time. */
const dedupCount = (step: (event: EventRecorded) => EventRecorded) => (t: TopologyBuilder) => {
  const events = t
    .stream('webhook.received', { timestamp: occurredAt })
    .dedup('once', { id: ({ event_id }) => event_id, ttlMs: DEDUP_TTL_MS })
    .map('record', (webhook) => step(recorded(webhook)));
  events.to('event.recorded');
  const counts = events
    .groupBy(({ tenant_id }) => tenant_id)
    .window(tumbling({ sizeMs: WINDOW_MS, graceMs: GRACE_MS }))
    .count('tenant-minute', { emit: 'update' });
  counts.late().ignore('what is late is not counted');
  counts.to('metric.tenant.count', {
    key: ({ key }) => key,
    value: ({ key, start, end, value }) => ({
      tenant_id: key,
      window_start: start,
      window_end: end,
      count: value,
      version: BigInt(value),
    }),
  });
};

const NAME = 'bench-dedup-count';

export const topologies: Readonly<Record<WorkName, Topology>> = {
  t0: filter,
  t1: defineTopology(
    NAME,
    dedupCount((event) => event),
  ),
  't1-heavy': defineTopology(NAME, dedupCount(attested)),
};

/** Consumer groups and what they read, upstream first. */
export function readsOf({ name, subTopologies }: Topology): Read[] {
  return subTopologies.flatMap((sub) =>
    sourcesOf(sub).map(({ topic }) => ({ group: groupOf(name, sub.name), topic })),
  );
}
