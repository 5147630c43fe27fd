import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorMessage, ReachflowError } from '../../../runtime/errors.ts';
import { type Authenticate, authenticator } from '../../../runtime/http/bearer.ts';
import { ProblemError, problemOf, replyProblem } from '../../../runtime/http/problem.ts';
import type { FileConfig } from '../config.ts';
import { failureProblem } from './problem.ts';
import type { Uploads, UploadView } from './uploads.ts';

const MAX_LISTED = 100;
const HEADERS_MS = 10_000;
/** One request may bring 100 MB over a slow line. */
const REQUEST_MS = 1_800_000;
const MAX_CONNECTIONS = 256;

const unauthorized = () =>
  new ProblemError('a bearer token of the source is needed', {
    status: 401,
    code: 'UNAUTHORIZED',
    hint: 'Send Authorization: Bearer <token>, one of file.sources.<source>.tokens.',
    headers: { 'www-authenticate': 'Bearer' },
  });
const notFound = () =>
  new ProblemError('there is nothing here', {
    status: 404,
    code: 'NOT_FOUND',
    hint: 'Uploads are at /uploads/<source>, what became of them at /imports/<id>.',
  });

/** Builds the HTTP server of uploads and of what becomes of them, not listening yet. */
export function buildUploadServer(
  config: FileConfig,
  uploads: Uploads,
  logger: Logger,
): FastifyInstance {
  const app = Fastify({
    logger: false,
    genReqId: () => randomUUID(),
    requestTimeout: REQUEST_MS,
    forceCloseConnections: true,
  });
  app.server.headersTimeout = HEADERS_MS;
  app.server.maxConnections = MAX_CONNECTIONS;
  const senders = authenticator(
    Object.entries(config.sources).map(([source, { tokens }]) => [tokens, source]),
  );
  // Bodies go to tus as they come.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.setNotFoundHandler(() => {
    throw notFound();
  });
  app.setErrorHandler((error, request, reply) => {
    const isOurs = error instanceof ReachflowError && !(error instanceof ProblemError);
    const problem = isOurs ? failureProblem(error) : problemOf(error);
    if (problem.status >= 500) logger.error({ error: errorMessage(error) }, 'upload server');
    return replyProblem(reply, problem, request.id);
  });
  const tus = async (
    request: FastifyRequest<{ Params: { source: string } }>,
    reply: FastifyReply,
  ) => {
    const { source } = request.params;
    if (senders(request.headers) !== source) throw unauthorized();
    const server = uploads.server(source);
    if (server === undefined) throw notFound();
    reply.hijack();
    await server.handle(request.raw, reply.raw);
    return reply;
  };
  app.all('/uploads/:source', tus);
  app.all('/uploads/:source/:id', tus);
  app.get('/health/live', () => ({ status: 'live' }));
  importRoutes(app, uploads, senders);
  return app;
}

function importRoutes(app: FastifyInstance, uploads: Uploads, senders: Authenticate<string>): void {
  app.get('/imports', async (request) => {
    const source = senders(request.headers);
    if (source === undefined) throw unauthorized();
    return { data: (await uploads.list(source, MAX_LISTED)).map(documentOf) };
  });
  app.get<{ Params: { id: string } }>('/imports/:id', async (request) => {
    const source = senders(request.headers);
    if (source === undefined) throw unauthorized();
    const view = await uploads.view(source, request.params.id);
    if (view === undefined) throw notFound();
    return documentOf(view);
  });
  app.get<{ Params: { id: string } }>('/imports/:id/rejects', async (request, reply) => {
    const source = senders(request.headers);
    if (source === undefined) throw unauthorized();
    const view = await uploads.view(source, request.params.id);
    if (view === undefined || !('rejectsPath' in view) || view.rejectsPath === null)
      throw notFound();
    return reply.type('application/x-ndjson').send(createReadStream(view.rejectsPath));
  });
}

/** What senders see of an upload: no path of ours. */
function documentOf(view: UploadView): Record<string, unknown> {
  if (!('rejectsPath' in view)) return { ...view };
  const { rejectsPath, ...shown } = view;
  return { ...shown, rejects: rejectsPath === null ? null : `/imports/${view.id}/rejects` };
}
