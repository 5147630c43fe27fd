import swagger from '@fastify/swagger';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { ProblemError } from '../../runtime/http/problem.ts';
import {
  createRawProblems,
  type RawProblems,
  requestIdOf,
  sendProblem,
  toProblem,
} from './http-problems.ts';
import { addIngestRoute } from './ingest-route.ts';
import { documentSchema, ingestSchema, liveSchema, readySchema } from './openapi.ts';
import type { WebhookServerDeps } from './server-deps.ts';

/** How often Node looks for connections that exceed the header and request timeouts. */
const TIMEOUT_CHECK_MS = 1_000;

/** What answers a path, by method: anything else is a 405 there. */
const PATHS: readonly (readonly [RegExp, string])[] = [
  [/^\/webhooks\/ingest\/[^/]+$/, 'POST'],
  [/^\/(health\/(live|ready)|openapi\.json)$/, 'GET, HEAD'],
];

/** Builds the HTTP server, not listening yet. */
export function buildWebhookServer(deps: WebhookServerDeps): FastifyInstance {
  const { config } = deps;
  const raw = createRawProblems();
  const app = Fastify({
    logger: false,
    genReqId: requestIdOf,
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: config.requestTimeoutMs,
    keepAliveTimeout: config.keepAliveTimeoutMs,
    trustProxy: config.trustedProxies.length === 0 ? false : [...config.trustedProxies],
    // Refused by our own hook, as a problem document with Retry-After.
    return503OnClosing: false,
    clientErrorHandler: raw.onClientError,
    frameworkErrors: (error, request, reply) => {
      sendProblem(deps.logger, toProblem(error), request, reply);
    },
    http: {
      headersTimeout: Math.min(config.headersTimeoutMs, config.requestTimeoutMs),
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      // Refused by our own hook, with a body.
      requireHostHeader: false,
    },
  });
  app.server.maxConnections = config.maxConnections;
  app.server.on('checkExpectation', raw.onExpectation);
  // Schemas describe; our own code reads and answers.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  addHooks(app, deps, raw);
  app.setErrorHandler((error, request, reply) => {
    sendProblem(deps.logger, toProblem(error), request, reply);
  });
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Reachflow webhooks',
        version: '1',
        description: 'Events in, stored before they are accepted.',
      },
    },
  });
  void app.register((scope, _options, done) => {
    addHealthRoutes(scope, deps);
    addIngestRoute(scope, deps, ingestSchema);
    let document: object | undefined;
    scope.get('/openapi.json', { schema: documentSchema }, async () => {
      document ??= app.swagger();
      return document;
    });
    done();
  });
  return app;
}

/** With callbacks: a promise for each hook of each request would be a tenth of its cost. */
function addHooks(app: FastifyInstance, deps: WebhookServerDeps, raw: RawProblems): void {
  app.addHook('onRequest', (request, _reply, done) => {
    raw.onRequest(request.raw);
    const { headers, httpVersion } = request.raw;
    if (headers.host === undefined && httpVersion === '1.1') done(HOST_MISSING);
    // Here, not when the request is handled: what else is wrong with it does not matter.
    else if (request.is404) done(unrouted(request));
    else done();
  });
  app.addHook('onSend', (request, reply, _payload, done) => {
    void reply.header('x-request-id', request.id);
    if (deps.isStopping()) void reply.header('connection', 'close');
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    raw.onResponse(request.raw);
    const source = (request.params as { source?: string } | undefined)?.source;
    if (source !== undefined) {
      const known = Object.hasOwn(deps.config.sources, source) ? source : 'unknown';
      deps.metrics?.delivery.webhookRequest(known, reply.statusCode, reply.elapsedTime);
    }
    done();
  });
}

const HOST_MISSING = new ProblemError('the request has no Host header', {
  status: 400,
  code: 'REQUEST_INVALID',
  hint: 'Send a Host header: HTTP/1.1 requires it.',
});

/** A path that is not there, or not for this method. */
function unrouted(request: FastifyRequest): ProblemError {
  const path = request.url.split('?', 1)[0] ?? '';
  const allow = PATHS.find(([pattern]) => pattern.test(path))?.[1];
  return allow === undefined
    ? new ProblemError('there is nothing at this path', {
        status: 404,
        code: 'ROUTE_UNKNOWN',
        hint: 'Webhooks are received by POST /webhooks/ingest/<source>; see /openapi.json.',
      })
    : new ProblemError(`the path does not take ${request.method}`, {
        status: 405,
        code: 'METHOD_NOT_ALLOWED',
        hint: `It takes ${allow}.`,
        headers: { allow },
      });
}

function addHealthRoutes(app: FastifyInstance, deps: WebhookServerDeps): void {
  app.get('/health/live', { schema: liveSchema }, async () => ({ status: 'ok' }));
  app.get('/health/ready', { schema: readySchema }, async () => {
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
