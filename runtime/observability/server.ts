import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { errorCode, errorMessage, ReachflowError } from '../errors.ts';
import { urlOf } from '../http/listen.ts';
import type { ObservabilityConfig } from './config.ts';
import { type Health, liveness, readiness, startup } from './health.ts';
import type { Metrics } from './metrics.ts';
import { type ProcessReport, type ProcessStatus, reportOf } from './process-status.ts';

export interface ObservabilityServerOptions {
  readonly config: Pick<ObservabilityConfig, 'host' | 'port'>;
  readonly status: ProcessStatus;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

export interface ObservabilityServer {
  /** Base URL for this host, e.g. `http://127.0.0.1:9464`. */
  readonly url: string;
  /** Idempotent; does not wait for connections that are kept alive. */
  close(): Promise<void>;
}

/** As many as there may be workers. */
const MAX_PORTS = 64;
const MAX_CONNECTIONS = 64;
const REQUEST_TIMEOUT_MS = 5_000;

/**
 * Answers on `/health/live`, `/health/ready`, `/health/startup` (200 or 503, with parts and reasons), `/metrics` and
 * `/status`. Listens on the configured port, a supervisor's worker n
 * on the n-th behind it, or on the next one that is free. Start it before anything else: what it
 * says of a start that hangs is the use of it.
 * @throws ReachflowError `OBSERVABILITY_LISTEN_FAILED`.
 */
export async function startObservabilityServer(
  options: ObservabilityServerOptions,
): Promise<ObservabilityServer> {
  const { config, status, logger } = options;
  const app = buildObservabilityServer(options);
  const wanted = config.port === 0 ? 0 : config.port + (status.identity.worker ?? 0);
  const { address, port } = await listen(app, config.host, wanted);
  if (port !== wanted && wanted !== 0)
    logger.warn({ wanted, port }, 'observability port is taken, using the next free one');
  const url = localUrlOf(address, port);
  logger.info({ url, metrics: `${url}/metrics` }, 'observability listening');
  let closing: Promise<void> | undefined;
  return {
    url,
    close() {
      closing ??= app.close();
      return closing;
    },
  };
}

/** The server, not listening yet. */
export function buildObservabilityServer({
  status,
  metrics,
  logger,
}: Omit<ObservabilityServerOptions, 'config'>): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: 1_024,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  const probe = (path: string, healthOf: (report: ProcessReport) => Health) => {
    app.get(path, async (_request, reply) => {
      const health = healthOf(await reportOf(status));
      void reply.code(health.status === 'unavailable' ? 503 : 200);
      return health;
    });
  };
  probe('/health/live', liveness);
  probe('/health/ready', readiness);
  probe('/health/startup', startup);
  app.get('/status', () => reportOf(status));
  app.get('/metrics', async (_request, reply) => {
    void reply.type(metrics.registry.contentType);
    return metrics.registry.metrics();
  });
  app.setNotFoundHandler((_request, reply) =>
    send(
      reply,
      404,
      'There are /health/live, /health/ready, /health/startup, /metrics and /status.',
    ),
  );
  app.setErrorHandler((error, { url }, reply) => {
    const code = (error as { statusCode?: unknown }).statusCode;
    if (typeof code === 'number' && code < 500) return send(reply, code, errorMessage(error));
    logger.error({ error, url }, 'observability: an answer failed');
    return send(reply, 500, 'This answer failed; the log says why.');
  });
  return app;
}

function send(reply: FastifyReply, status: number, detail: string): FastifyReply {
  return reply.code(status).send({ status, detail });
}

async function listen(app: FastifyInstance, host: string, wanted: number): Promise<AddressInfo> {
  for (let port = wanted; ; port += 1) {
    try {
      // Exclusive: workers of one supervisor would share the port, and a scrape would reach any of them.
      await app.listen({ host, port, exclusive: true });
      const address = app.server.address();
      if (typeof address === 'object' && address !== null) return address;
      throw new Error('it listens on no port');
    } catch (error) {
      const isTaken = errorCode(error) === 'EADDRINUSE';
      if (isTaken && wanted !== 0 && port < Math.min(65_535, wanted + MAX_PORTS)) continue;
      throw new ReachflowError(
        `observability cannot listen on ${host}, port ${wanted} and behind: ${errorMessage(error)}`,
        {
          code: 'OBSERVABILITY_LISTEN_FAILED',
          domain: 'user',
          hint: 'Choose another observability.host or observability.port, or set observability.enabled to false.',
          cause: error,
        },
      );
    }
  }
}

/** Where a process on this host answers that listens there: on all interfaces is on loopback, too. */
export function localUrlOf(address: string, port: number): string {
  return urlOf(address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address, port);
}
