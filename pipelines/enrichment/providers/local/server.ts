import { setTimeout as delay } from 'node:timers/promises';
import Fastify, { type FastifyReply } from 'fastify';
import { z } from 'zod';
import { listen } from '../../../../runtime/http/listen.ts';
import { type ProviderKind, providerKinds } from '../provider.ts';
import { resultFor } from './facts.ts';

/** How a kind of provider behaves from now on; what is not named is as it is by default. */
const behaviourSchema = z.strictObject({
  /** `never` takes requests, and answers none. */
  delayMs: z.union([z.int().min(0).max(60_000), z.literal('never')]).default(0),
  /** Answers this to all requests. */
  status: z.int().min(200).max(599).default(200),
  /** Seconds; with `status` 429 or 503. */
  retryAfter: z.int().min(0).optional(),
  /** Requests of a second; further ones get 429 and Retry-After. */
  requestsPerSecond: z.int().min(1).optional(),
  /** What is wrong with bodies: no JSON, another shape, results that do not fit or are left out. */
  garbage: z.enum(['none', 'text', 'shape', 'results', 'left-out']).default('none'),
});

export type Behaviour = z.input<typeof behaviourSchema>;
type Behaves = z.output<typeof behaviourSchema>;

export interface LocalProviderOptions {
  readonly host?: string;
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** Requests need it as a bearer token. */
  readonly key?: string;
}

/** Counts of one kind, since the server began. */
export interface LocalProviderStats {
  readonly requests: number;
  /** Requests that got answers. */
  readonly answered: number;
  readonly largestBatch: number;
  /** How often each subject was asked about, and answered. */
  readonly subjects: Readonly<Record<string, number>>;
}

export interface LocalProvider {
  /** `<url>/company`, `<url>/person`, `<url>/verification` are the providers. */
  readonly url: string;
  behave(kind: ProviderKind | 'all', behaviour: Behaviour): void;
  stats(kind: ProviderKind): LocalProviderStats;
  close(): Promise<void>;
}

/** Subjects that are counted: beyond, the server would be the one that grows. */
const MAX_COUNTED = 1_000_000;
const subjectsSchema = z.array(z.string().min(1)).min(1).max(100);
const requestSchema = z.union([
  z.strictObject({ domains: subjectsSchema }),
  z.strictObject({ emails: subjectsSchema }),
]);

class Kind {
  readonly kind: ProviderKind;
  readonly subjects = new Map<string, number>();
  requests = 0;
  answered = 0;
  largestBatch = 0;
  behaves: Behaves = behaviourSchema.parse({});
  #second = 0;
  #inSecond = 0;

  constructor(kind: ProviderKind) {
    this.kind = kind;
  }

  stats(): LocalProviderStats {
    const { requests, answered, largestBatch, subjects } = this;
    return { requests, answered, largestBatch, subjects: Object.fromEntries(subjects) };
  }

  /** Whether the request is one too many in its second. */
  isTooMany(): boolean {
    const { requestsPerSecond = Number.POSITIVE_INFINITY } = this.behaves;
    const second = Math.floor(Date.now() / 1_000);
    this.#inSecond = second === this.#second ? this.#inSecond + 1 : 1;
    this.#second = second;
    return this.#inSecond > requestsPerSecond;
  }

  count(subjects: readonly string[]): void {
    this.answered += 1;
    this.largestBatch = Math.max(this.largestBatch, subjects.length);
    for (const subject of subjects) {
      if (this.subjects.size >= MAX_COUNTED && !this.subjects.has(subject)) continue;
      this.subjects.set(subject, (this.subjects.get(subject) ?? 0) + 1);
    }
  }
}

/**
 * A provider of all three kinds on this machine, for tests and demonstrations: answers follow from the subject alone, and it
 * can be made slow, wrong, strict or silent while it runs: `behave`, or `PUT /<kind>/behaviour`. `GET /<kind>/stats` counts.
 * @throws ReachflowError `LOCAL_PROVIDER_LISTEN_FAILED`.
 */
export async function startLocalProvider(
  options: LocalProviderOptions = {},
): Promise<LocalProvider> {
  const { host = '127.0.0.1', port = 0, key } = options;
  const app = Fastify({ bodyLimit: 1_048_576, forceCloseConnections: true });
  const kinds = new Map(providerKinds.map((kind) => [kind, new Kind(kind)]));
  const closing = new AbortController();
  for (const [name, kind] of kinds) {
    app.post(`/${name}`, async (request, reply) => {
      kind.requests += 1;
      if (key !== undefined && request.headers.authorization !== `Bearer ${key}`)
        return reply.code(401).send({ error: 'the key is wrong' });
      const parsed = requestSchema.safeParse(request.body);
      if (!parsed.success) return reply.code(400).send({ error: z.prettifyError(parsed.error) });
      const subjects = 'domains' in parsed.data ? parsed.data.domains : parsed.data.emails;
      return answer(kind, subjects, reply, closing.signal);
    });
    app.get(`/${name}/stats`, () => kind.stats());
    app.put(`/${name}/behaviour`, async (request, reply) => {
      const parsed = behaviourSchema.safeParse(request.body);
      if (!parsed.success) return reply.code(400).send({ error: z.prettifyError(parsed.error) });
      kind.behaves = parsed.data;
      return kind.behaves;
    });
  }
  const where = { host, port, section: 'local_provider', purpose: 'enrichment requests' };
  const url = await listen(app, where);
  const kindOf = (kind: ProviderKind) => kinds.get(kind) ?? new Kind(kind);
  return {
    url,
    behave(kind, behaviour) {
      const behaves = behaviourSchema.parse(behaviour);
      for (const one of kind === 'all' ? providerKinds : [kind]) kindOf(one).behaves = behaves;
    },
    stats: (kind) => kindOf(kind).stats(),
    async close() {
      closing.abort();
      await app.close();
    },
  };
}

async function answer(
  kind: Kind,
  subjects: readonly string[],
  reply: FastifyReply,
  signal: AbortSignal,
): Promise<FastifyReply> {
  const { delayMs, status, retryAfter, garbage } = kind.behaves;
  if (kind.isTooMany()) return reply.code(429).header('retry-after', '1').send({});
  const ms = delayMs === 'never' ? 2 ** 31 - 1 : delayMs;
  if (ms > 0) await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
  if (retryAfter !== undefined) void reply.header('retry-after', String(retryAfter));
  if (status !== 200) return reply.code(status).send({});
  kind.count(subjects);
  const results = subjects.map((subject) => resultFor(kind.kind, subject));
  if (garbage === 'text') return reply.type('text/html').send('<html>It works!</html>');
  if (garbage === 'shape') return reply.send({ data: results });
  if (garbage === 'left-out') return reply.send({ results: [] });
  if (garbage === 'results')
    return reply.send({ results: results.map((result) => ({ ...result, status: 42 })) });
  return reply.send({ results });
}
