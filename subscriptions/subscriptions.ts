import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { settledWithin } from '../runtime/backoff.ts';
import { errorCode, errorMessage, ReachflowError } from '../runtime/errors.ts';
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
    try {
      await app.listen({ host: config.host, port: config.port });
    } catch (error) {
      await hub.close();
      throw listenError(config, error);
    }
    const { port } = app.server.address() as AddressInfo;
    const { host } = config;
    const base = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
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

function listenError({ host, port }: SubscriptionsConfig, error: unknown): ReachflowError {
  return new ReachflowError(
    `cannot listen for subscribers on ${host}:${port}: ${errorMessage(error)}`,
    {
      code: 'SUBSCRIPTIONS_LISTEN_FAILED',
      domain: 'user',
      hint:
        errorCode(error) === 'EADDRINUSE'
          ? 'Another process has the port: set subscriptions.port (0 takes a free one).'
          : 'Set subscriptions.host and subscriptions.port to an address of this machine.',
      cause: error,
    },
  );
}
