import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { ProblemError } from '../../runtime/http/problem.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import type { Metrics } from '../../runtime/observability/metrics.ts';
import type { Tracing } from '../../runtime/observability/tracing.ts';
import type { SpoolConfig } from '../../runtime/spool/config.ts';
import type { Spool } from '../../runtime/spool/open-spool.ts';
import type { Connector, ConnectorStatus } from '../connector.ts';
import type { WebhookConfig } from './config.ts';
import { openSecrets, type Secrets } from './secrets.ts';
import { buildWebhookServer } from './server.ts';

export interface WebhookConnectorDeps {
  readonly publisher: Publisher;
  /** Events go through it instead, unless `webhook.spool.enabled` is off. */
  readonly openSpool?: ((topic: typeof TOPIC, config: SpoolConfig) => Promise<Spool>) | undefined;
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
  let app: FastifyInstance | undefined;
  let secrets: Secrets | undefined;
  let url: string | undefined;
  let spool: Spool | undefined;
  let closeMetrics: (() => void) | undefined;
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  let lastFailure: { problem: ProblemError; at: number } | undefined;

  /** A store that failed lately makes us unready, until it is worth another try. */
  const publishFailure = (): ProblemError | undefined =>
    lastFailure !== undefined && clock() - lastFailure.at < config.retryAfterSeconds * 1_000
      ? lastFailure.problem
      : undefined;

  const unready = (): string | undefined => {
    if (stopping !== undefined) return 'it is shutting down';
    const failure = publishFailure();
    return failure === undefined ? undefined : `${failure.message} (${failure.code})`;
  };

  const onHangUp = (): void => void secrets?.reload();
  const releaseSecrets = (): void => {
    process.off('SIGHUP', onHangUp);
    secrets?.close();
    secrets = undefined;
  };

  async function openSpool(): Promise<void> {
    if (!config.spool.enabled) return;
    spool = await deps.openSpool?.(TOPIC, config.spool);
    const opened = spool;
    if (opened !== undefined)
      closeMetrics = deps.metrics?.spools.watch('webhook', () => opened.standing);
  }

  async function closeSpool(): Promise<void> {
    closeMetrics?.();
    const closing = spool?.close();
    spool = undefined;
    await closing;
  }

  async function listen(): Promise<void> {
    const opened = await openSecrets(config, { logger, metrics: deps.metrics });
    secrets = opened;
    if (Object.values(config.sources).some(({ secretsFile }) => secretsFile !== undefined)) {
      process.on('SIGHUP', onHangUp);
    }
    await openSpool().catch((error: unknown) => {
      releaseSecrets();
      throw error;
    });
    const server = buildWebhookServer({
      config,
      secrets: opened.of,
      publisher: spool ?? deps.publisher,
      logger,
      metrics: deps.metrics,
      tracing: deps.tracing,
      clock,
      isStopping: () => stopping !== undefined,
      unready,
      onPublished: (problem) => {
        lastFailure = problem === undefined ? undefined : { problem, at: clock() };
      },
    });
    try {
      await server.listen({ host: config.host, port: config.port });
    } catch (error) {
      releaseSecrets();
      await closeSpool();
      throw listenError(config, error);
    }
    app = server;
    url = urlOf(server.server.address(), config.host);
    logger.info({ url, sources: Object.keys(config.sources) }, 'webhook listening');
  }

  async function close(server: FastifyInstance): Promise<void> {
    const cut = setTimeout(() => {
      logger.warn(
        { afterMs: config.shutdownTimeoutMs },
        'webhook: cutting connections that did not end',
      );
      server.server.closeAllConnections();
    }, config.shutdownTimeoutMs);
    try {
      await server.close();
    } finally {
      clearTimeout(cut);
      releaseSecrets();
      // After the last request: it may be waiting for the disk.
      await closeSpool();
      app = undefined;
      url = undefined;
    }
  }

  return {
    name: 'webhook',
    topics: [TOPIC],
    spools: deps.openSpool !== undefined && config.spool.enabled,
    async start() {
      await stopping;
      if (app !== undefined) return;
      starting ??= listen().finally(() => {
        starting = undefined;
      });
      await starting;
    },
    async stop() {
      await starting?.catch(() => undefined);
      if (app === undefined) return;
      stopping ??= close(app).finally(() => {
        stopping = undefined;
      });
      await stopping;
    },
    async status(): Promise<ConnectorStatus> {
      if (starting !== undefined)
        return { name: 'webhook', state: 'starting', detail: 'opening its port' };
      if (url === undefined) return { name: 'webhook', state: 'stopped', detail: 'not listening' };
      const reason = unready() ?? spoolReason(spool, clock());
      return reason === undefined
        ? { name: 'webhook', state: 'running', detail: `listening on ${url}` }
        : { name: 'webhook', state: 'degraded', detail: `listening on ${url}; ${reason}` };
    },
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

function listenError(config: WebhookConfig, error: unknown): ReachflowError {
  const where = `${config.host}:${config.port}`;
  return new ReachflowError(`cannot listen for webhooks on ${where}: ${errorMessage(error)}`, {
    code: 'WEBHOOK_LISTEN_FAILED',
    domain: 'user',
    hint:
      errorCode(error) === 'EADDRINUSE'
        ? 'Another process has the port: set webhook.port (0 takes a free one).'
        : 'Set webhook.host and webhook.port to an address of this machine.',
    cause: error,
  });
}

function urlOf(address: AddressInfo | string | null, host: string): string {
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
