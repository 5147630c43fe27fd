import { randomUUID } from 'node:crypto';
import websocket, { type WebSocket } from '@fastify/websocket';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import { ProblemError, problemOf, replyProblem } from '../runtime/http/problem.ts';
import { accessControl } from './access.ts';
import type { SubscriptionsConfig } from './config.ts';
import type { Hub, Opening } from './hub.ts';
import type { SubscriptionMetrics } from './metrics.ts';
import {
  type OutletOptions,
  pollOutlet,
  type StreamOutlet,
  sseOutlet,
  webSocketOutlet,
} from './outlets.ts';
import { unavailable } from './problems.ts';
import type { Subscription } from './subscription.ts';

export interface SubscriptionServerDeps {
  readonly config: SubscriptionsConfig;
  readonly hub: Hub;
  readonly logger: Logger;
  readonly metrics: SubscriptionMetrics;
}

/** Clients send nothing but control frames. */
const MAX_CLIENT_FRAME_BYTES = 1_024;
const POLL_BYTES = 4_194_304;
/** How soon a browser reconnects, ms. */
const SSE_RETRY_MS = 2_000;
const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // The end of the stream is the end of the connection.
  connection: 'close',
  // Proxies must not collect events before they pass them on.
  'x-accel-buffering': 'no',
};

/** Builds the HTTP server, not listening yet: GET /subscriptions/<topic> as SSE, WebSocket or long poll. */
export async function buildSubscriptionServer(
  deps: SubscriptionServerDeps,
): Promise<FastifyInstance> {
  const { config, hub } = deps;
  const app = Fastify({
    logger: false,
    genReqId: () => randomUUID(),
    forceCloseConnections: false,
  });
  app.server.maxConnections = config.maxConnections;
  await app.register(websocket, {
    options: { maxPayload: MAX_CLIENT_FRAME_BYTES, perMessageDeflate: false },
    errorHandler: (error, socket) => {
      deps.logger.error({ error: errorMessage(error) }, 'subscription failed');
      socket.terminate();
    },
  });
  app.addHook('onSend', async (request, reply) => void reply.header('x-request-id', request.id));
  app.setErrorHandler((error, request, reply) => sendProblem(deps, error, request, reply));
  app.setNotFoundHandler(() => {
    throw new ProblemError('there is nothing at this method and path', {
      status: 404,
      code: 'ROUTE_UNKNOWN',
      hint: 'Subscribe by GET /subscriptions/<topic>.',
    });
  });
  app.get('/health/live', async () => ({ status: 'ok' }));
  const accessOf = accessControl(config);
  const openings = new WeakMap<FastifyRequest, Opening>();
  const openingOf = (request: FastifyRequest): Opening => {
    const opening = openings.get(request);
    if (opening === undefined) throw new Error('the request was not admitted');
    return opening;
  };
  app.route<{ Params: { topic: string } }>({
    method: 'GET',
    url: '/subscriptions/:topic',
    // Before an upgrade is answered: what is refused is refused by HTTP.
    preValidation: async (request) => {
      const opening = await hub.admit(accessOf(request));
      openings.set(request, opening);
      // An upgrade that fails after this never comes to its handler.
      if (request.ws) request.raw.socket.once('close', opening.release);
    },
    handler: async (request, reply) => {
      const opening = openingOf(request);
      if (request.headers.accept?.includes('text/event-stream') === true) {
        serveEvents(deps, opening, request, reply);
        return reply;
      }
      return poll(deps, opening, request);
    },
    wsHandler: (socket, request) => serveWebSocket(deps, openingOf(request), socket, request),
  });
  return app;
}

/** Runs a subscription for as long as its connection is there. */
function serve(
  { hub, logger }: SubscriptionServerDeps,
  opening: Opening,
  transport: 'sse' | 'websocket',
  outlet: StreamOutlet,
): { readonly subscription: Subscription; readonly gone: () => void } {
  const subscription = opening.begin(transport, outlet);
  const quiet = hub.keepAlive(subscription, outlet);
  const gone = () => {
    quiet();
    hub.finish(subscription);
  };
  // Where it begins, at once: a subscriber that gets nothing for long can resume all the same.
  outlet.beat(subscription.cursor);
  subscription.run().catch((error: unknown) => {
    logger.error({ err: error }, 'subscription failed');
    gone();
  });
  return { subscription, gone };
}

function optionsOf({ config }: SubscriptionServerDeps, { id }: FastifyRequest): OutletOptions {
  return { requestId: id, closeTimeoutMs: config.closeTimeoutMs };
}

function serveEvents(
  deps: SubscriptionServerDeps,
  opening: Opening,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.hijack();
  const response = reply.raw;
  const { socket } = request.raw;
  response.on('error', () => undefined);
  response.writeHead(200, { ...SSE_HEADERS, 'x-request-id': request.id });
  response.write(`retry: ${SSE_RETRY_MS}\n`);
  const { gone } = serve(
    deps,
    opening,
    'sse',
    sseOutlet(response, socket, optionsOf(deps, request)),
  );
  response.once('close', gone);
  if (response.destroyed) gone();
}

function serveWebSocket(
  deps: SubscriptionServerDeps,
  opening: Opening,
  ws: WebSocket,
  request: FastifyRequest,
): void {
  const { socket } = request.raw;
  // Bad frames end the connection; `close` follows.
  ws.on('error', () => undefined);
  const { gone } = serve(
    deps,
    opening,
    'websocket',
    webSocketOutlet(ws, socket, optionsOf(deps, request)),
  );
  ws.once('close', gone);
}

async function poll(
  { hub }: SubscriptionServerDeps,
  opening: Opening,
  request: FastifyRequest,
): Promise<string> {
  const { max, waitMs } = opening.access;
  const outlet = pollOutlet(max, POLL_BYTES);
  const subscription = opening.begin('poll', outlet);
  const aborted = Promise.withResolvers<void>();
  request.raw.socket.once('close', aborted.resolve);
  let timer: NodeJS.Timeout | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, waitMs);
  });
  try {
    const running = subscription.run();
    await Promise.race([outlet.done, waited, aborted.promise]);
    subscription.close();
    // What it still reads of older records is dropped.
    running.catch(() => undefined);
    const { problem, events } = outlet;
    if (problem !== undefined && events.length === 0) throw problem;
    const documents = events.map(({ json }) => json.toString()).join(',');
    return `{"events":[${documents}],"cursor":"${subscription.cursor}"}`;
  } finally {
    clearTimeout(timer);
    request.raw.socket.off('close', aborted.resolve);
    hub.finish(subscription);
  }
}

function sendProblem(
  { logger, metrics }: SubscriptionServerDeps,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = isOurs(error) ? unavailable(error.code, error.message, error) : problemOf(error);
  const { status, code, message } = problem;
  const fields = { requestId: request.id, status, code };
  metrics.ended(code);
  if (status === 500) logger.error({ ...fields, err: problem.cause }, message);
  else logger.info(fields, `subscription refused: ${message}`);
  replyProblem(reply, problem, request.id);
}

/** What an engine, or our access to it, failed with. */
function isOurs(error: unknown): error is ReachflowError {
  return error instanceof ReachflowError && !(error instanceof ProblemError);
}
