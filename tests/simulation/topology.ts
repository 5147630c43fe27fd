import { keyValueStore, numberSerde } from '../../runtime/state/contract.ts';
import { contact, tenantCount, webhook } from '../../runtime/testing/samples.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import { tumbling } from '../../runtime/topology/windows.ts';

export const WINDOW_MS = 60_000;
export const GRACE_MS = 30_000;

export const INPUTS = ['event.recorded', 'cdc.public.events'] as const;

/** How far each key was numbered. */
const numbers = keyValueStore<number>('numbers', numberSerde);

/**
 * What is simulated: events of two topics, each once, numbered per key (order, state), counted per tenant (two stages,
 * combined) and per tenant and minute (event time, lateness, closing).
 */
export function simulatedTopology(time: {
  readonly disorderMs: number;
  readonly idleAfterMs: number;
}): Topology {
  return defineTopology('sim', (t) => {
    const options = { maxAheadMs: 1e12, ...time };
    const rows = t
      .stream('cdc.public.events', { name: 'rows', ...options })
      .map('as-event', ({ after }) => ({
        event_id: `e${after?.id}`,
        tenant_id: after?.tenant_id ?? '',
      }));
    const events = t
      .stream('event.recorded', { name: 'events', ...options })
      .map('slim', ({ event_id, tenant_id }) => ({ event_id, tenant_id }))
      .merge('all', rows)
      .dedup('once', { id: ({ event_id }) => event_id, ttlMs: 1e11 });
    events
      .process<string>('number', {
        stores: [numbers],
        create: ({ store, forward }) => {
          const last = store(numbers);
          return {
            process: ({ event_id }, { key }) => {
              const number = (last.get(key) ?? 0) + 1;
              last.set(key, number);
              forward(key, `${event_id}#${number}`);
              return undefined;
            },
          };
        },
      })
      .map('numbered', (event_id) => webhook({ event_id }))
      .to('webhook.received');
    events
      .groupBy(({ tenant_id }) => tenant_id)
      .count('totals')
      .toStream()
      .map('total', (count, { key }) => contact({ id: `${key}#${count}` }))
      .to('contact.golden');
    events
      .groupBy(({ tenant_id }) => tenant_id)
      .window(tumbling({ sizeMs: WINDOW_MS, graceMs: GRACE_MS }))
      .count('minutes', { emit: 'close' })
      .to('metric.tenant.count', { key: ({ key }) => key, value: tenantCount });
  });
}
