import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { ReachflowError } from '../../runtime/errors.ts';
import { ProblemError, problemOf, replyProblem } from '../../runtime/http/problem.ts';
import { accessControl, isOpen, type Viewer } from '../access.ts';
import { ranges } from '../charts/ranges.ts';
import { notFound } from '../problems.ts';
import { chartRoutes } from './chart-routes.ts';
import type { RouteContext } from './context.ts';
import { letterRoutes } from './letter-routes.ts';
import { pipelineRoutes } from './pipeline-routes.ts';

const PAGE = join(import.meta.dirname, '..', 'page');
const UPLOT = dirname(fileURLToPath(import.meta.resolve('uplot')));
/** Files of uPlot as the page asks for them. */
const UPLOT_FILES = ['uPlot.iife.min.js', 'uPlot.min.css'];
const ACCESS = '/api/access';
const BODY_LIMIT = 262_144;
const MAX_CONNECTIONS = 1_024;

/** Everything is of this origin, nothing is inline, and nobody frames it. */
const HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    ...["script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"],
    ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
    "require-trusted-types-for 'script'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

/** Builds the HTTP server, not listening yet: the page, and its API below /api. */
export async function buildConsoleServer(
  context: Omit<RouteContext, 'viewerOf'>,
): Promise<FastifyInstance> {
  const { deps } = context;
  const app = Fastify({
    ...{ logger: false, bodyLimit: BODY_LIMIT, forceCloseConnections: true },
    genReqId: () => randomUUID(),
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  const admit = accessControl(deps.config);
  const viewers = new WeakMap<FastifyRequest, Viewer>();
  const viewerOf = (request: FastifyRequest): Viewer => {
    const viewer = viewers.get(request);
    if (viewer === undefined) throw new Error('the request was not admitted');
    return viewer;
  };
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(HEADERS).header('x-request-id', request.id);
    const isApi = request.url.startsWith('/api/') && request.url !== ACCESS;
    if (isApi) void reply.header('cache-control', 'no-store');
    // The page itself holds no data. Where everybody may, its address is checked all the same.
    if (isApi || isOpen(deps.config)) viewers.set(request, admit(request));
  });
  app.setErrorHandler((error, request, reply) => sendProblem(context, error, request, reply));
  app.setNotFoundHandler(() => {
    throw notFound('such address', 'The console is at /, its API below /api.');
  });
  await app.register(fastifyStatic, {
    ...{ root: PAGE, prefix: '/', cacheControl: false, index: 'index.html' },
    allowedPath: (path) => !/\.(ts|json)$/.test(path),
    setHeaders: (response) => void response.header('cache-control', 'no-cache'),
  });
  for (const file of UPLOT_FILES) {
    app.get(`/vendor/${file}`, (_request, reply) => reply.sendFile(file, UPLOT));
  }
  const routes: RouteContext = { ...context, viewerOf };
  // Before somebody signs in: whether anybody has to.
  app.get(ACCESS, async () => ({ isOpen: isOpen(deps.config) }));
  app.get('/api/session', async (request) => session(routes, viewerOf(request)));
  chartRoutes(app, routes);
  pipelineRoutes(app, routes);
  letterRoutes(app, routes);
  return app;
}

/** What the page has to know to begin. */
function session({ deps }: RouteContext, { name, tenants, isOperator }: Viewer) {
  return {
    ...{ name, isOperator, version: deps.version, namespace: deps.namespace },
    isOpen: isOpen(deps.config),
    tenants: tenants === '*' ? '*' : [...tenants].toSorted(),
    ranges: ranges.map(({ id, title }) => ({ id, title })),
    charts: deps.charts.map(({ id, title, description, unit, kind, part }) => ({
      ...{ id, title, description, unit, kind, part },
      isThere: part === undefined || deps.optional.includes(part),
    })),
  };
}

function sendProblem(
  { deps }: Omit<RouteContext, 'viewerOf'>,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const problem = isOurs(error) ? problemOfOurs(error) : problemOf(error);
  const { status, code, message } = problem;
  const fields = { requestId: request.id, status, code };
  if (status === 500) deps.logger.error({ ...fields, err: problem.cause }, message);
  else deps.logger.debug(fields, `console: ${message}`);
  return replyProblem(reply, problem, request.id);
}

function isOurs(error: unknown): error is ReachflowError {
  return error instanceof ReachflowError && !(error instanceof ProblemError);
}

/** What an engine failed with, or what was asked for and cannot be done. */
function problemOfOurs(error: ReachflowError): ProblemError {
  const { code, message, domain, hint = 'The log of the console has the cause.' } = error;
  const status = domain === 'user' ? 409 : 503;
  return new ProblemError(message, {
    ...{ status, code, hint, cause: error },
    ...(error.retry === 'backoff' ? { retryAfterSeconds: 2 } : {}),
  });
}
