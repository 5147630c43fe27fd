import { createHash, timingSafeEqual } from 'node:crypto';
import { createReadStream } from 'node:fs';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { errorMessage, ReachflowError } from '../../../runtime/errors.ts';
import type { FileConfig } from '../config.ts';
import { problemText, type Refusal, refusalOf } from './problem.ts';
import type { Uploads, UploadView } from './uploads.ts';

const MAX_LISTED = 100;
const HEADERS_MS = 10_000;
/** One request may bring 100 MB over a slow line. */
const REQUEST_MS = 1_800_000;
const MAX_CONNECTIONS = 256;

const UNAUTHORIZED: Refusal = {
  status: 401,
  code: 'UNAUTHORIZED',
  detail: 'a bearer token of the source is needed: Authorization: Bearer …',
};
const NOT_FOUND: Refusal = { status: 404, code: 'NOT_FOUND', detail: 'there is nothing here' };

/** Builds the HTTP server of uploads and of what becomes of them, not listening yet. */
export function buildUploadServer(
  config: FileConfig,
  uploads: Uploads,
  logger: Logger,
): FastifyInstance {
  const app = Fastify({
    logger: false,
    requestTimeout: REQUEST_MS,
    forceCloseConnections: true,
  });
  app.server.headersTimeout = HEADERS_MS;
  app.server.maxConnections = MAX_CONNECTIONS;
  const senders = new Senders(config);
  // Bodies go to tus as they come.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  app.setNotFoundHandler((_request, reply) => refuse(reply, NOT_FOUND));
  app.setErrorHandler((error, _request, reply) => {
    logger.error({ error: errorMessage(error) }, 'upload server');
    const known = error instanceof ReachflowError ? refusalOf(error) : undefined;
    return refuse(
      reply,
      known ?? { status: 500, code: 'INTERNAL', detail: 'this failed on our side' },
    );
  });
  const tus = async (
    request: FastifyRequest<{ Params: { source: string } }>,
    reply: FastifyReply,
  ) => {
    const { source } = request.params;
    if (senders.sourceOf(request.headers.authorization) !== source)
      return refuse(reply, UNAUTHORIZED);
    const server = uploads.server(source);
    if (server === undefined) return refuse(reply, NOT_FOUND);
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

function importRoutes(app: FastifyInstance, uploads: Uploads, senders: Senders): void {
  app.get('/imports', async (request, reply) => {
    const source = senders.sourceOf(request.headers.authorization);
    if (source === undefined) return refuse(reply, UNAUTHORIZED);
    return { data: (await uploads.list(source, MAX_LISTED)).map(documentOf) };
  });
  app.get<{ Params: { id: string } }>('/imports/:id', async (request, reply) => {
    const source = senders.sourceOf(request.headers.authorization);
    if (source === undefined) return refuse(reply, UNAUTHORIZED);
    const view = await uploads.view(source, request.params.id);
    return view === undefined ? refuse(reply, NOT_FOUND) : documentOf(view);
  });
  app.get<{ Params: { id: string } }>('/imports/:id/rejects', async (request, reply) => {
    const source = senders.sourceOf(request.headers.authorization);
    if (source === undefined) return refuse(reply, UNAUTHORIZED);
    const view = await uploads.view(source, request.params.id);
    if (view === undefined || !('rejectsPath' in view) || view.rejectsPath === null)
      return refuse(reply, NOT_FOUND);
    return reply.type('application/x-ndjson').send(createReadStream(view.rejectsPath));
  });
}

/** What senders see of an upload: no path of ours. */
function documentOf(view: UploadView): Record<string, unknown> {
  if (!('rejectsPath' in view)) return { ...view };
  const { rejectsPath, ...shown } = view;
  return { ...shown, rejects: rejectsPath === null ? null : `/imports/${view.id}/rejects` };
}

function refuse(reply: FastifyReply, refusal: Refusal): FastifyReply {
  if (refusal.status === 401) reply.header('www-authenticate', 'Bearer');
  if (refusal.retryAfterSeconds !== undefined)
    reply.header('retry-after', refusal.retryAfterSeconds);
  return reply.code(refusal.status).type('application/problem+json').send(problemText(refusal));
}

/** Who has which token. */
class Senders {
  readonly #digests: readonly { readonly source: string; readonly digest: Buffer }[];

  constructor({ sources }: FileConfig) {
    this.#digests = Object.entries(sources).flatMap(([source, { tokens }]) =>
      tokens.map((token) => ({ source, digest: digestOf(token) })),
    );
  }

  /** Compares with every token, each in constant time. */
  sourceOf(authorization: string | undefined): string | undefined {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return undefined;
    const digest = digestOf(token);
    let found: string | undefined;
    for (const known of this.#digests)
      if (timingSafeEqual(known.digest, digest)) found = known.source;
    return found;
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
