import { Counter, Gauge, type Registry } from 'prom-client';

export type Transport = 'sse' | 'websocket' | 'poll';

/** What subscriptions count. Without a registry, nothing. */
export interface SubscriptionMetrics {
  opened(transport: Transport): void;
  closed(transport: Transport): void;
  sent(transport: Transport): void;
  /** Ended by us, or refused: why. @param code of the problem. */
  ended(code: string): void;
}

export function createSubscriptionMetrics(registry: Registry | undefined): SubscriptionMetrics {
  const registers = registry === undefined ? [] : [registry];
  const connections = new Gauge({
    name: 'reachflow_subscription_connections',
    help: 'Open subscriptions, by transport: sse, websocket or poll.',
    labelNames: ['transport'],
    registers,
  });
  const events = new Counter({
    name: 'reachflow_subscription_events_total',
    help: 'Events handed to subscribers, by transport.',
    labelNames: ['transport'],
    registers,
  });
  const ends = new Counter({
    name: 'reachflow_subscription_ends_total',
    help: 'Subscriptions that were refused or ended by us, by the code of the problem.',
    labelNames: ['code'],
    registers,
  });
  return {
    opened: (transport) => connections.inc({ transport }),
    closed: (transport) => connections.dec({ transport }),
    sent: (transport) => events.inc({ transport }),
    ended: (code) => ends.inc({ code }),
  };
}
