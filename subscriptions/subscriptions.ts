import type { Logger } from 'pino';
import { settledWithin } from '../runtime/backoff.ts';
import { listen } from '../runtime/http/listen.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import type { Metrics } from '../runtime/observability/metrics.ts';
import { type Service, type ServiceWork, serviceOf } from '../runtime/service.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { SubscriptionsConfig } from './config.ts';
import { Hub } from './hub.ts';
import { createSubscriptionMetrics } from './metrics.ts';
import { buildSubscriptionServer } from './server.ts';

/** Name of the part, also of the section of its configuration. */
export const SUBSCRIPTIONS = 'subscriptions';

export interface SubscriptionsDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
}

export interface Subscriptions extends Service {
  /** Base URL it listens on; undefined when it does not. */
  url(): string | undefined;
}

/** Hands records of topics to clients: Server-Sent Events, WebSocket, long poll. */
export function createSubscriptions(
  config: SubscriptionsConfig,
  deps: SubscriptionsDeps,
): Subscriptions {
  const logger = deps.logger.child({ component: SUBSCRIPTIONS });
  const metrics = createSubscriptionMetrics(deps.metrics?.registry);
  let url: string | undefined;
  const service = serviceOf(SUBSCRIPTIONS, async (): Promise<ServiceWork> => {
    if (Object.keys(config.subscribers).length === 0) {
      return { detail: () => 'no subscribers are configured', close: async () => undefined };
    }
    const hub = new Hub(config, { ...deps, logger, metrics });
    const app = await buildSubscriptionServer({ config, hub, logger, metrics });
    const { host, port } = config;
    const listening = { host, port, section: 'subscriptions', purpose: 'subscribers' };
    const base = await listen(app, listening).catch(async (error: unknown) => {
      await hub.close();
      throw error;
    });
    url = base;
    return {
      detail: () => `${hub.subscriptions} subscribers at ${base}`,
      close: async () => {
        url = undefined;
        // Subscribers hear of the end before their connections are closed.
        const ended = hub.close();
        const closed = app.close();
        await ended;
        await settledWithin(config.closeTimeoutMs, [closed]);
        app.server.closeAllConnections();
        await closed;
      },
    };
  });
  return { ...service, url: () => url };
}
