import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError } from '../../runtime/http/problem.ts';
import { type BodyReader, createBodyReader } from './body-reader.ts';
import { inflate, isGzip } from './content-encoding.ts';
import { parseEvents } from './events.ts';
import { toProblem } from './http-problems.ts';
import { publishEvent, sourceOf, verify } from './ingest.ts';
import { countByTenant, createLimits, type Limits } from './limits.ts';
import { listed, type Received, receive, type WebhookPublication } from './receive.ts';
import { schemes } from './schemes/index.ts';
import type { WebhookServerDeps } from './server-deps.ts';
import type { WebhookSource } from './source-config.ts';

interface IngestRoute {
  Params: { source: string };
  Body: Buffer | undefined;
}

/** What the handler of the route works with. */
interface Ingestor {
  readonly deps: WebhookServerDeps;
  readonly bodies: BodyReader;
  readonly limits: Limits;
}

const EMPTY = Buffer.alloc(0);
const PATH = '/webhooks/ingest/:source';

/** Adds `POST /webhooks/ingest/{source}`: verified, read, counted, stored, and only then answered with 202. */
export function addIngestRoute(
  app: FastifyInstance,
  deps: WebhookServerDeps,
  schema: object,
): void {
  const { config } = deps;
  const bodies = createBodyReader(config);
  const limits = createLimits(config.limits, deps.clock, deps.throttles);
  const ingestor = { deps, bodies, limits };
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (request, payload, done) => {
    bodies.read(request.headers, payload, done);
  });
  app.post<IngestRoute>(
    PATH,
    {
      schema,
      // Before the body is read: nobody fills our memory for a source that does not exist.
      onRequest: (request, _reply, done) => {
        try {
          if (deps.isStopping()) throw stopping(deps);
          admit(ingestor, request.params.source, request);
          done();
        } catch (error) {
          done(toProblem(error));
        }
      },
    },
    (request, reply) => ingest(ingestor, request, reply),
  );
}

/** @throws ProblemError when it is certain, without its body, that the request is not authentic. */
function admit({ deps, limits }: Ingestor, name: string, request: FastifyRequest): void {
  let source: WebhookSource;
  try {
    source = sourceOf(deps.config, name);
  } catch (error) {
    limits.countFailure(request.ip);
    throw error;
  }
  if (request.headers[schemes[source.scheme].signatureHeader] === undefined) {
    limits.checkFailures(request.ip);
  }
}

async function ingest(
  ingestor: Ingestor,
  request: FastifyRequest<IngestRoute>,
  reply: FastifyReply,
): Promise<unknown> {
  const { deps, bodies, limits } = ingestor;
  const { headers, params, ip } = request;
  const rawBody = request.body ?? EMPTY;
  const nowMs = deps.clock();
  let body = rawBody;
  try {
    const source = sourceOf(deps.config, params.source);
    const secrets = deps.secrets(params.source);
    const verified = countingFailures(limits, ip, () =>
      verify(deps.config, source, secrets, { headers, rawBody }, nowMs),
    );
    if (isGzip(headers['content-encoding'])) {
      const inflated = await inflate(rawBody, deps.config.bodyLimitBytes);
      bodies.hold(inflated);
      body = inflated;
    }
    const parsed = parseEvents(headers, body, { ...deps.config, arrays: source.arrays });
    const [first] = parsed.events;
    const challenge =
      first?.ok === true ? schemes[source.scheme].challenge?.(first.event.value) : undefined;
    if (challenge !== undefined) return { challenge };
    const context = { sourceName: params.source, source, verified, headers, nowMs };
    const received = receive(parsed, context);
    const counts = countByTenant(received.publications);
    void reply.headers(limits.takeEvents(counts));
    try {
      await publish(deps, params.source, headers, received.publications);
    } catch (error) {
      limits.giveBack(counts);
      throw error;
    }
    return answer(reply, received);
  } finally {
    if (body !== rawBody) bodies.release(body);
    bodies.release(rawBody);
  }
}

function countingFailures<T>(limits: Limits, address: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    limits.countFailure(address);
    throw error;
  }
}

function answer(reply: FastifyReply, { isBatch, publications, refused }: Received): unknown {
  const ids = publications.map(({ value }) => value.event_id);
  void reply.code(refused.length === 0 ? 202 : 207);
  if (!isBatch) return { status: 'accepted', event_id: ids[0] };
  if (refused.length === 0) return { status: 'accepted', accepted: ids.length, event_ids: ids };
  void reply.header('preference-applied', 'handling=lenient');
  return {
    status: 'partial',
    accepted: ids.length,
    event_ids: ids,
    refused: refused.length,
    events: listed(refused),
  };
}

/** Resolves when all are stored. Of a batch that fails, some may be: their ids make the sender's retry harmless. */
async function publish(
  deps: WebhookServerDeps,
  source: string,
  headers: IncomingHttpHeaders,
  publications: readonly WebhookPublication[],
): Promise<void> {
  if (publications.length === 0) return;
  const trace = deps.tracing?.request(`POST ${PATH}`, headers, {
    'reachflow.source': source,
    'reachflow.events': publications.length,
  });
  const carried = trace?.headers;
  const traced =
    carried === undefined
      ? publications
      : publications.map((publication) => ({ ...publication, headers: carried }));
  const [only] = traced;
  try {
    if (traced.length === 1 && only !== undefined) {
      await publishEvent(deps.config, deps.publisher, only);
    } else {
      await publishAll(deps, traced);
    }
    deps.onPublished(undefined);
    trace?.end();
  } catch (error) {
    const problem = toProblem(error);
    deps.onPublished(problem);
    trace?.fail(problem);
    throw problem;
  }
}

/** A batch, in its order, which is kept for each key. Ends when nothing is under way any more. */
async function publishAll(
  { config, publisher }: WebhookServerDeps,
  publications: readonly WebhookPublication[],
): Promise<void> {
  const outcomes = await Promise.allSettled(
    publications.map((publication) => publishEvent(config, publisher, publication)),
  );
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

function stopping({ config }: WebhookServerDeps): ProblemError {
  return new ProblemError('this instance is shutting down', {
    status: 503,
    code: 'SHUTTING_DOWN',
    hint: 'Send the same delivery again, with the same id, after the time in Retry-After.',
    retryAfterSeconds: config.retryAfterSeconds,
  });
}
