import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { ReachflowError } from '../../runtime/errors.ts';
import { listen } from '../../runtime/http/listen.ts';
import type { ProblemError } from '../../runtime/http/problem.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import type { Metrics } from '../../runtime/observability/metrics.ts';
import type { Tracing } from '../../runtime/observability/tracing.ts';
import type { ServiceWork } from '../../runtime/service.ts';
import type { SpoolConfig } from '../../runtime/spool/config.ts';
import type { Spool } from '../../runtime/spool/open-spool.ts';
import type { Connector } from '../connector.ts';
import { connectorOf } from '../lifecycle.ts';
import type { WebhookConfig } from './config.ts';
import { openSecrets, type Secrets } from './secrets.ts';
import { buildWebhookServer } from './server.ts';
import type { FollowedThrottles } from './throttles.ts';

export interface WebhookConnectorDeps {
  readonly publisher: Publisher;
  /** Events go through it instead, unless `webhook.spool.enabled` is off. */
  readonly openSpool?: ((topic: typeof TOPIC, config: SpoolConfig) => Promise<Spool>) | undefined;
  /** Tenants that may send less for now; nobody is held back without it. */
  readonly openThrottles?: (() => Promise<FollowedThrottles>) | undefined;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** ms since the epoch; the system clock by default. */
  readonly clock?: () => number;
}

export interface WebhookConnector extends Connector {
  /** Base URL it listens on, e.g. `http://127.0.0.1:8080`. @throws ReachflowError `WEBHOOK_NOT_STARTED`. */
  url(): string;
}

const TOPIC = 'webhook.received';

/** Receives webhooks over HTTP and publishes them to `webhook.received`. Can be started again after a stop. */
export function createWebhookConnector(
  config: WebhookConfig,
  deps: WebhookConnectorDeps,
): WebhookConnector {
  const logger = deps.logger.child({ connector: 'webhook' });
  const clock = deps.clock ?? Date.now;
  let url: string | undefined;
  const open = async (): Promise<ServiceWork> => {
    const work = await openWebhooks(config, deps, logger, clock);
    url = work.url;
    logger.info({ url, sources: Object.keys(config.sources) }, 'webhook listening');
    const close = () =>
      work.close().finally(() => {
        url = undefined;
      });
    return { ...work, close };
  };
  return {
    ...connectorOf('webhook', [TOPIC], open),
    spools: deps.openSpool !== undefined && config.spool.enabled,
    url() {
      if (url !== undefined) return url;
      throw new ReachflowError('the webhook connector is not listening', {
        code: 'WEBHOOK_NOT_STARTED',
        domain: 'internal',
        hint: 'Await start() first.',
      });
    },
  };
}

/** What it holds between a start and a stop. */
async function openWebhooks(
  config: WebhookConfig,
  deps: WebhookConnectorDeps,
  logger: Logger,
  clock: () => number,
): Promise<ServiceWork & { readonly url: string }> {
  let isStopping = false;
  let lastFailure: { readonly problem: ProblemError; readonly at: number } | undefined;
  /** A store that failed lately makes us unready, until it is worth another try. */
  const unready = (): string | undefined => {
    if (isStopping) return 'it is shutting down';
    if (lastFailure === undefined) return undefined;
    const { problem, at } = lastFailure;
    return clock() - at < config.retryAfterSeconds * 1_000
      ? `${problem.message} (${problem.code})`
      : undefined;
  };
  const releases: (() => Promise<void> | void)[] = [];
  const release = async () => {
    for (const next of releases) await next();
  };
  try {
    const secrets = await watchedSecrets(config, deps, logger);
    releases.push(secrets.release);
    const throttles = await deps.openThrottles?.();
    if (throttles !== undefined) releases.push(() => throttles.close());
    const spool = await openSpool(config, deps);
    // After the last request: it may be waiting for the disk.
    if (spool !== undefined) releases.push(spool.release);
    const app = buildWebhookServer({
      config,
      secrets: secrets.of,
      throttles,
      publisher: spool?.spool ?? deps.publisher,
      logger,
      metrics: deps.metrics,
      tracing: deps.tracing,
      clock,
      isStopping: () => isStopping,
      unready,
      onPublished: (problem) => {
        lastFailure = problem === undefined ? undefined : { problem, at: clock() };
      },
    });
    const { host, port } = config;
    const url = await listen(app, { host, port, section: 'webhook', purpose: 'webhooks' });
    return {
      url,
      detail: () => `listening on ${url}`,
      trouble: () => unready() ?? spoolReason(spool?.spool, clock()),
      async close() {
        isStopping = true;
        try {
          await closeWithin(app, config.shutdownTimeoutMs, logger);
        } finally {
          await release();
        }
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Secrets that are read again by SIGHUP, where they are in files. */
async function watchedSecrets(
  config: WebhookConfig,
  { metrics }: WebhookConnectorDeps,
  logger: Logger,
): Promise<{ readonly of: Secrets['of']; release(): void }> {
  const secrets = await openSecrets(config, { logger, metrics });
  const onHangUp = (): void => void secrets.reload();
  if (Object.values(config.sources).some(({ secretsFile }) => secretsFile !== undefined))
    process.on('SIGHUP', onHangUp);
  return {
    of: secrets.of,
    release() {
      process.off('SIGHUP', onHangUp);
      secrets.close();
    },
  };
}

async function openSpool(
  config: WebhookConfig,
  deps: WebhookConnectorDeps,
): Promise<{ readonly spool: Spool; release(): Promise<void> } | undefined> {
  if (!config.spool.enabled) return undefined;
  const spool = await deps.openSpool?.(TOPIC, config.spool);
  if (spool === undefined) return undefined;
  const unwatch = deps.metrics?.spools.watch('webhook', () => spool.standing);
  return {
    spool,
    async release() {
      unwatch?.();
      await spool.close();
    },
  };
}

/** Lets requests end, and cuts the connections of those that do not in time. */
async function closeWithin(app: FastifyInstance, ms: number, logger: Logger): Promise<void> {
  const cut = setTimeout(() => {
    logger.warn({ afterMs: ms }, 'webhook: cutting connections that did not end');
    app.server.closeAllConnections();
  }, ms);
  try {
    await app.close();
  } finally {
    clearTimeout(cut);
  }
}

/** One line for people while events go to disk; undefined while they do not. */
function spoolReason(spool: Spool | undefined, now: number): string | undefined {
  if (spool === undefined) return undefined;
  const { mode, records, bytes, oldestAt = now, damagedBytes, failure } = spool.standing;
  const damage = damagedBytes === 0 ? '' : `; ${damagedBytes} damaged bytes were set aside`;
  if (mode === 'direct') return damage === '' ? undefined : damage.slice(2);
  const seconds = Math.max(0, Math.round((now - oldestAt) / 1_000));
  const why = failure === undefined ? 'draining' : `not drained: ${failure}`;
  return `${records} events (${bytes} bytes, oldest ${seconds} s) are in the spool, ${why}${damage}`;
}
