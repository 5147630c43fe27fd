import { keyValueStore, numberSerde } from '../../runtime/state/contract.ts';
import { contact, tenantCount, webhook } from '../../runtime/testing/samples.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import { tumbling } from '../../runtime/topology/windows.ts';

export const WINDOW_MS = 60_000;
export const GRACE_MS = 30_000;
/** Each event has a timer, so long after it. */
export const DUE_MS = 45_000;
/** Key of what timers forward. */
export const DUE = 'due';

export const INPUTS = ['event.recorded', 'cdc.public.events'] as const;

/** How far each key was numbered. */
const numbers = keyValueStore<number>('numbers', numberSerde);

/**
 * What is simulated: events of two topics, each once, numbered per key (order, state), each with a timer, counted per
 * tenant (two stages, combined) and per tenant and minute (event time, lateness, closing).
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
    const numbered = events.process<string, { due: string }>('number', {
      stores: [numbers],
      outputs: ['due'],
      create: ({ store, timers, forward, forwardTo }) => {
        const last = store(numbers);
        return {
          process: ({ event_id }, { key, timestamp }) => {
            const number = (last.get(key) ?? 0) + 1;
            last.set(key, number);
            forward(key, `${event_id}#${number}`);
            timers.schedule('event', event_id, timestamp + DUE_MS);
            return undefined;
          },
          onTimer: (id, at) => forwardTo('due', DUE, `${id}@${at}`),
        };
      },
    });
    numbered.map('numbered', (event_id) => webhook({ event_id })).to('webhook.received');
    numbered
      .output('due')
      .map('is-due', (event_id) => webhook({ event_id }))
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
