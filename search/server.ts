import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { listen } from '../runtime/http/listen.ts';
import { ProblemError, problemOf, replyProblem } from '../runtime/http/problem.ts';
import { type Service, type ServiceWork, serviceOf } from '../runtime/service.ts';
import { tokenAccess } from './access.ts';
import type { SearchConfig } from './config.ts';
import { searchRoutes } from './routes.ts';
import { ContactSearch, type SearchStore } from './search.ts';

/** How long a request may take to arrive, ms: it has no body. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface SearchServer extends Service {
  /** Base URL it listens on; undefined when it does not. */
  url(): string | undefined;
}

/** A server of its own for the search and its page, at `/`. */
export function createSearchServer(
  config: SearchConfig,
  store: SearchStore,
  logger: Logger,
): SearchServer {
  let url: string | undefined;
  const service = serviceOf('search', async (): Promise<ServiceWork> => {
    const search = new ContactSearch(config, store);
    const app = buildSearchServer(config, search, logger);
    const { host, port } = config;
    const listening = { host, port, section: 'search', purpose: 'searches' };
    const base = await listen(app, listening).catch(async (error: unknown) => {
      await search.close();
      throw error;
    });
    url = base;
    return {
      detail: () => `${Object.keys(config.clients).length} clients may search at ${base}`,
      close: async () => {
        url = undefined;
        await app.close();
        await search.close();
      },
    };
  });
  return { ...service, url: () => url };
}

/** Builds it, not listening yet. */
export function buildSearchServer(
  config: SearchConfig,
  search: ContactSearch,
  logger: Logger,
): FastifyInstance {
  const app = Fastify({
    logger: false,
    genReqId: () => randomUUID(),
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Who keeps a connection open does not hold up the end.
    forceCloseConnections: 'idle',
  });
  app.addHook('onSend', async (request, reply) => void reply.header('x-request-id', request.id));
  app.setErrorHandler((error, request, reply) => sendProblem(logger, error, request, reply));
  app.setNotFoundHandler(() => {
    throw new ProblemError('there is nothing at this method and path', {
      status: 404,
      code: 'ROUTE_UNKNOWN',
      hint: 'Search by GET /api/v1/contacts/search?q=…',
    });
  });
  app.get('/health/live', async () => ({ status: 'ok' }));
  searchRoutes(app, { search, access: tokenAccess(config), page: '/' });
  return app;
}

/** The log says nothing of what was searched for: names and addresses. */
function sendProblem(
  logger: Logger,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = problemOf(error);
  const { status, code, message } = problem;
  const fields = { requestId: request.id, status, code };
  if (status >= 500) logger.error({ ...fields, err: problem.cause }, `search failed: ${message}`);
  else logger.info(fields, `search refused: ${message}`);
  replyProblem(reply, problem, request.id);
}
