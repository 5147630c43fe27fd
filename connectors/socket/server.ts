import { randomUUID } from 'node:crypto';
import websocket, { type WebSocket } from '@fastify/websocket';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorMessage } from '../../runtime/errors.ts';
import { authenticator } from '../../runtime/http/bearer.ts';
import { ProblemError, problemOf, replyProblem } from '../../runtime/http/problem.ts';
import type { SocketConfig, SocketSource } from './config.ts';

export interface SocketServerDeps {
  readonly config: SocketConfig;
  readonly logger: Logger;
  readonly onConnection: (
    ws: WebSocket,
    request: FastifyRequest,
    name: string,
    source: SocketSource,
  ) => void;
  readonly isStopping: () => boolean;
}

/** Builds the HTTP server, not listening yet: WebSockets at /ingest/<source>, a token of the source at the upgrade. */
export async function buildSocketServer(deps: SocketServerDeps): Promise<FastifyInstance> {
  const { config, logger } = deps;
  const app = Fastify({ logger: false, genReqId: () => randomUUID() });
  app.server.maxConnections = config.maxConnections;
  await app.register(websocket, {
    options: { maxPayload: config.maxMessageBytes, perMessageDeflate: false },
    errorHandler: (error, socket) => {
      logger.error({ error: errorMessage(error) }, 'socket failed');
      socket.terminate();
    },
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error);
    const { code, message } = problem;
    if (problem.status >= 500) logger.error({ err: problem.cause ?? problem }, message);
    else logger.info({ requestId: request.id, code }, `socket refused: ${message}`);
    return replyProblem(reply, problem, request.id);
  });
  app.setNotFoundHandler(() => {
    throw new ProblemError('there is nothing at this method and path', {
      status: 404,
      code: 'ROUTE_UNKNOWN',
      hint: 'Send events over a WebSocket at /ingest/<source>.',
    });
  });
  app.get('/health/live', async () => ({ status: 'ok' }));
  const authenticate = authenticator(
    Object.entries(config.sources).map(([name, source]) => [source.tokens, { name, source }]),
    { query: config.allowQueryAuth },
  );
  const holderOf = (request: FastifyRequest) => {
    const holder = authenticate(request.headers, request.query);
    const { source } = request.params as { source?: string };
    // The same answer for a source that does not exist: names of sources are nobody's business.
    return holder?.name === source ? holder : undefined;
  };
  app.route({
    method: 'GET',
    url: '/ingest/:source',
    preValidation: async (request) => {
      if (deps.isStopping()) throw stopping(config);
      if (holderOf(request) === undefined) throw tokenInvalid();
    },
    handler: () => {
      throw upgradeRequired();
    },
    wsHandler: (ws, request) => {
      const holder = holderOf(request);
      if (holder === undefined) ws.terminate();
      else deps.onConnection(ws, request, holder.name, holder.source);
    },
  });
  return app;
}

function tokenInvalid(): ProblemError {
  return new ProblemError('the request has no valid bearer token of this source', {
    status: 401,
    code: 'TOKEN_INVALID',
    hint: 'Send Authorization: Bearer <token>, one of socket.sources.<source>.tokens.',
    headers: { 'www-authenticate': 'Bearer' },
  });
}

function upgradeRequired(): ProblemError {
  return new ProblemError('this is for WebSockets', {
    status: 426,
    code: 'UPGRADE_REQUIRED',
    hint: 'Connect with a WebSocket client; single events go to the webhooks by HTTP.',
  });
}

function stopping({ retryAfterSeconds }: SocketConfig): ProblemError {
  return new ProblemError('this instance is shutting down', {
    status: 503,
    code: 'SHUTTING_DOWN',
    hint: 'Connect again.',
    retryAfterSeconds,
  });
}
