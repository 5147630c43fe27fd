import { z } from 'zod';
import { bearerTokens } from '../runtime/http/bearer.ts';
import { connectionServerFields } from '../runtime/http/config.ts';
import { type TopicName, topicNames } from '../schemas/topics.ts';

const tenant = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
const MIB = 1_048_576;

/** Who may subscribe, and to what. */
const subscriberSchema = z.strictObject({
  tokens: bearerTokens,
  tenants: z
    .union([z.literal('*'), z.array(tenant).min(1).max(1_000)])
    .describe('Whose records it gets. `*` is everybody, and records without a tenant, too.'),
  topics: z
    .array(z.enum(topicNames as [TopicName, ...TopicName[]]))
    .min(1)
    .describe('Topics that it may subscribe to.'),
  maxConnections: z
    .int()
    .min(1)
    .default(10_000)
    .describe('Subscriptions of it at one time, of this process; more are answered with 429.'),
});

/** The `subscriptions` section of the configuration. */
export const subscriptionsConfigSchema = z.strictObject({
  ...connectionServerFields(8085),
  heartbeatMs: z
    .int()
    .min(100)
    .default(15_000)
    .describe('How often a connection hears of its position when nothing else is sent, ms.'),
  clientBufferBytes: z
    .int()
    .min(65_536)
    .default(MIB)
    .describe('What a client may leave unread before it is disconnected, with its cursor; bytes.'),
  stallTimeoutMs: z
    .int()
    .min(100)
    .default(30_000)
    .describe('How long a client that catches up may take nothing before it is disconnected, ms.'),
  recentBytes: z
    .int()
    .min(65_536)
    .default(32 * MIB)
    .describe('Newest events of each topic in memory, bytes: who resumes there costs no read.'),
  recentRecords: z
    .int()
    .min(0)
    .default(10_000)
    .describe(
      'Records of a topic that are read into that memory when it gets its first subscriber.',
    ),
  catchUpReads: z
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Reads of older records at one time; further subscribers wait for their turn.'),
  idleTopicMs: z
    .int()
    .min(0)
    .default(60_000)
    .describe('How long a topic is still read after its last subscriber has left, ms.'),
  pollWaitMs: z
    .int()
    .min(0)
    .max(120_000)
    .default(25_000)
    .describe('How long a long poll waits for the first event at most, ms.'),
  pollEvents: z.int().min(1).max(10_000).default(500).describe('Most events of one long poll.'),
  closeTimeoutMs: z
    .int()
    .min(100)
    .default(5_000)
    .describe(
      'How long a client may take to read the end of what it was sent, ms; also at a stop.',
    ),
  subscribers: z
    .record(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/), subscriberSchema)
    .default({})
    .describe('Who may subscribe: GET /subscriptions/<topic>. Without any, no port is opened.'),
});

export type SubscriptionsConfig = z.infer<typeof subscriptionsConfigSchema>;
export type SubscriberConfig = z.infer<typeof subscriberSchema>;
