import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorCode, errorMessage } from '../../runtime/errors.ts';
import type { Publisher } from '../../runtime/kafka/publisher.ts';
import type { Metrics } from '../../runtime/observability/metrics.ts';
import type { Tracing } from '../../runtime/observability/tracing.ts';
import { createBodyReader } from './body-reader.ts';
import type { WebhookConfig } from './config.ts';
import { publishEvent, sourceOf, toPublication } from './ingest.ts';
import { PROBLEM_JSON, ProblemError, problemDocument } from './problem.ts';

export interface WebhookServerDeps {
  readonly config: WebhookConfig;
  readonly publisher: Publisher;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  /** ms since the epoch. */
  readonly clock: () => number;
  /** True from the moment a stop begins: what is not accepted yet is refused. */
  readonly isStopping: () => boolean;
  /** Why it is not ready, in one line; undefined when it is. */
  readonly unready: () => string | undefined;
  /** Called with the outcome of every publication; undefined is success. */
  readonly onPublished: (error: ProblemError | undefined) => void;
}

interface IngestRoute {
  Params: { source: string };
  Body: Buffer | undefined;
}

const EMPTY = Buffer.alloc(0);

/** How often Node looks for connections that exceed the header and request timeouts. */
const TIMEOUT_CHECK_MS = 1_000;

/** Builds the HTTP server, not listening yet. */
export function buildWebhookServer(deps: WebhookServerDeps): FastifyInstance {
  const { config } = deps;
  const app = Fastify({
    logger: false,
    genReqId: () => randomUUID(),
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: config.requestTimeoutMs,
    keepAliveTimeout: config.keepAliveTimeoutMs,
    // Refused by our own hook, as a problem document with Retry-After.
    return503OnClosing: false,
    clientErrorHandler,
    frameworkErrors: (error, request, reply) => sendProblem(deps, toProblem(error), request, reply),
    http: {
      headersTimeout: Math.min(config.headersTimeoutMs, config.requestTimeoutMs),
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
  });
  app.server.maxConnections = config.maxConnections;
  app.addHook('onSend', async (request, reply) => {
    void reply.header('x-request-id', request.id);
    if (deps.isStopping()) void reply.header('connection', 'close');
  });
  app.addHook('onResponse', async (request, reply) => {
    const source = (request.params as { source?: string } | undefined)?.source;
    if (source === undefined) return;
    const known = Object.hasOwn(config.sources, source) ? source : 'unknown';
    deps.metrics?.delivery.webhookRequest(known, reply.statusCode, reply.elapsedTime);
  });
  app.setErrorHandler((error, request, reply) => {
    sendProblem(deps, toProblem(error), request, reply);
  });
  app.setNotFoundHandler((_request, _reply) => {
    throw new ProblemError('there is nothing at this method and path', {
      status: 404,
      code: 'ROUTE_UNKNOWN',
      hint: 'Webhooks are received by POST /webhooks/ingest/<source>.',
    });
  });
  addHealthRoutes(app, deps);
  addIngestRoute(app, deps);
  return app;
}

function addHealthRoutes(app: FastifyInstance, deps: WebhookServerDeps): void {
  app.get('/health/live', async () => ({ status: 'ok' }));
  app.get('/health/ready', async () => {
    const reason = deps.unready();
    if (reason === undefined) return { status: 'ok' };
    throw new ProblemError(reason, {
      status: 503,
      code: 'NOT_READY',
      hint: 'Send no requests here until this answers 200.',
      retryAfterSeconds: deps.config.retryAfterSeconds,
    });
  });
}

function addIngestRoute(app: FastifyInstance, deps: WebhookServerDeps): void {
  const { config } = deps;
  const bodies = createBodyReader(config);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', async (request: FastifyRequest, payload: FastifyRequest['raw']) => {
    return bodies.read(request.headers, payload);
  });
  app.post<IngestRoute>(
    '/webhooks/ingest/:source',
    {
      // Before the body is read: nobody fills our memory for a source that does not exist.
      onRequest: async (request) => {
        if (deps.isStopping()) throw stopping(config);
        sourceOf(config, request.params.source);
      },
    },
    async (request, reply) => {
      const rawBody = request.body ?? EMPTY;
      try {
        const { headers, params } = request;
        const ingest = { sourceName: params.source, headers, rawBody };
        const publication = toPublication(config, ingest, deps.clock());
        await publish(deps, params.source, headers, publication);
        void reply.code(202);
        return { event_id: publication.value.event_id, status: 'accepted' };
      } finally {
        bodies.release(rawBody);
      }
    },
  );
}

async function publish(
  deps: WebhookServerDeps,
  source: string,
  headers: IncomingHttpHeaders,
  publication: Parameters<typeof publishEvent>[2],
): Promise<void> {
  const trace = deps.tracing?.request('POST /webhooks/ingest/:source', headers, {
    'reachflow.source': source,
  });
  const traced =
    trace?.headers === undefined ? publication : { ...publication, headers: trace.headers };
  try {
    await publishEvent(deps.config, deps.publisher, traced);
    deps.onPublished(undefined);
    trace?.end();
  } catch (error) {
    const problem = toProblem(error);
    deps.onPublished(problem);
    trace?.fail(problem);
    throw problem;
  }
}

function stopping(config: WebhookConfig): ProblemError {
  return new ProblemError('this instance is shutting down', {
    status: 503,
    code: 'SHUTTING_DOWN',
    hint: 'Send the same delivery again, with the same id, after the time in Retry-After.',
    retryAfterSeconds: config.retryAfterSeconds,
  });
}

/** What the framework refused (a bad URL, a malformed content type) keeps its 4xx; anything else is our bug. */
function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new ProblemError(errorMessage(error), {
      status,
      code: status === 415 ? 'MEDIA_TYPE_INVALID' : 'REQUEST_INVALID',
      hint: 'Send a well-formed HTTP request with content-type: application/json.',
      cause: error,
    });
  }
  if (errorCode(error) === 'ECONNRESET') {
    return new ProblemError('the sender closed the connection before the end of the body', {
      status: 400,
      code: 'REQUEST_ABORTED',
      hint: 'Send the delivery again.',
      cause: error,
    });
  }
  return new ProblemError('an unexpected error', {
    status: 500,
    code: 'INTERNAL',
    hint: 'Report the request id to the operator: the log has the cause.',
    cause: error,
  });
}

function sendProblem(
  deps: WebhookServerDeps,
  problem: ProblemError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const fields = {
    requestId: request.id,
    source: (request.params as { source?: string } | undefined)?.source,
    status: problem.status,
    code: problem.code,
  };
  if (problem.status >= 500) {
    deps.logger.error({ ...fields, err: problem.cause ?? problem }, `webhook: ${problem.message}`);
  } else {
    deps.logger.info(fields, `webhook refused: ${problem.message}`);
  }
  if (problem.retryAfterSeconds !== undefined) {
    void reply.header('retry-after', String(problem.retryAfterSeconds));
  }
  void reply
    .code(problem.status)
    .type(PROBLEM_JSON)
    .send(JSON.stringify(problemDocument(problem, request.id)));
}

/** Answers bytes that never became a request: not HTTP, too slow, or with too large a header. */
function clientErrorHandler(error: Error, socket: Socket): void {
  const code = errorCode(error);
  if (code === 'ECONNRESET' || socket.destroyed || !socket.writable) return;
  const [status, name, detail] =
    code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? [408, 'REQUEST_TIMEOUT', 'the request did not arrive in time']
      : code === 'HPE_HEADER_OVERFLOW'
        ? [431, 'HEADERS_TOO_LARGE', 'the headers are too large']
        : [400, 'REQUEST_INVALID', 'this is not a well-formed HTTP request'];
  const problem = new ProblemError(String(detail), {
    status: Number(status),
    code: String(name),
    hint: 'Send a well-formed HTTP/1.1 request, all of it within the time limit.',
  });
  const document = problemDocument(problem, randomUUID());
  const body = JSON.stringify(document);
  socket.end(
    `HTTP/1.1 ${problem.status} ${String(document['title'])}\r\ncontent-type: ${PROBLEM_JSON}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
