import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { authenticator } from '../runtime/http/bearer.ts';
import { isTopicName, type TopicName } from '../schemas/topics.ts';
import type { SubscriptionsConfig } from './config.ts';
import type { Tenants } from './feed.ts';
import type { Start } from './feeds.ts';
import { queryInvalid, tokenInvalid, tooManyConnections, topicForbidden } from './problems.ts';

/** A subscriber as a process knows it. */
interface Subscriber {
  readonly name: string;
  readonly tenants: Tenants;
  readonly topics: ReadonlySet<TopicName>;
  readonly maxConnections: number;
  connections: number;
}

/** What a request may have. */
export interface Access {
  readonly subscriber: string;
  readonly topic: TopicName;
  readonly tenants: Tenants;
  readonly start: Start;
  /** Of a long poll. */
  readonly max: number;
  readonly waitMs: number;
  /** Counts a connection of the subscriber until the function is called. @throws ProblemError 429. */
  enter(): () => void;
}

const natural = z
  .string()
  .regex(/^\d{1,6}$/)
  .transform(Number);
const querySchema = z.strictObject({
  cursor: z.string().min(1).max(16_384).optional(),
  start: z.enum(['earliest', 'latest']).optional(),
  max: natural.optional(),
  wait_ms: natural.optional(),
  access_token: z.string().optional(),
});

/** Decides by token, topic and query. @returns throws ProblemError 400, 401 or 403. */
export function accessControl(config: SubscriptionsConfig): (request: FastifyRequest) => Access {
  const holders = Object.entries(config.subscribers).map(([name, { tokens, ...of }]) => {
    const subscriber: Subscriber = {
      name,
      tenants: of.tenants === '*' ? '*' : new Set(of.tenants),
      topics: new Set(of.topics),
      maxConnections: of.maxConnections,
      connections: 0,
    };
    return [tokens, subscriber] as const;
  });
  const authenticate = authenticator(holders, { query: config.allowQueryAuth });
  return (request) => {
    const subscriber = authenticate(request.headers, request.query);
    if (subscriber === undefined) throw tokenInvalid();
    const { topic = '' } = request.params as { topic?: string };
    if (!isTopicName(topic) || !subscriber.topics.has(topic)) throw topicForbidden();
    const { name, tenants } = subscriber;
    const limits = limitsOf(config, request);
    return { subscriber: name, topic, tenants, ...limits, enter: () => enter(subscriber) };
  };
}

function limitsOf(
  config: SubscriptionsConfig,
  request: FastifyRequest,
): Pick<Access, 'start' | 'max' | 'waitMs'> {
  const parsed = querySchema.safeParse(request.query);
  if (!parsed.success) throw queryInvalid(z.prettifyError(parsed.error));
  const { start, max = config.pollEvents, wait_ms: waitMs = config.pollWaitMs } = parsed.data;
  const lastEventId = request.headers['last-event-id'];
  // A browser that reconnects repeats the URL that it began with: the id is newer.
  const cursor =
    typeof lastEventId === 'string' && lastEventId !== '' ? lastEventId : parsed.data.cursor;
  if (parsed.data.cursor !== undefined && start !== undefined)
    throw queryInvalid('cursor and start exclude each other');
  return {
    start: cursor === undefined ? (start ?? 'latest') : { cursor },
    max: Math.max(1, Math.min(max, config.pollEvents)),
    waitMs: Math.min(waitMs, config.pollWaitMs),
  };
}

function enter(subscriber: Subscriber): () => void {
  if (subscriber.connections >= subscriber.maxConnections) throw tooManyConnections();
  subscriber.connections += 1;
  let isIn = true;
  return () => {
    if (isIn) subscriber.connections -= 1;
    isIn = false;
  };
}
