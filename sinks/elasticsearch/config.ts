import { z } from 'zod';

/** The `elasticsearch` section of the configuration. */
export const elasticsearchConfigSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .default('http://127.0.0.1:9200')
    .describe('HTTP interface of the cluster.'),
  username: z.string().default('').describe('User of the sink; empty: no authentication.'),
  password: z.string().default('').describe('Password of the user.').meta({ secret: true }),
  indexPrefix: z
    .string()
    .regex(/^([a-z0-9][a-z0-9._-]{0,99})?$/, 'lower-case letters, digits, ., _ and -')
    .default('')
    .describe('What the names of the sink’s indices begin with.'),
  batchSize: z
    .int()
    .min(1)
    .max(5_000)
    .default(5_000)
    .describe('The most documents of one bulk request.'),
  maxConnections: z
    .int()
    .min(1)
    .max(100)
    .default(10)
    .describe('Connections of the sink, which is also how many partitions it writes at once.'),
  refresh: z
    .enum(['false', 'true', 'wait_for'])
    .default('false')
    .describe(
      'When written documents are found by a search: on the next refresh (false), at once (true), or at the next refresh, which the write waits for (wait_for).',
    ),
  gcDeletes: z
    .string()
    .regex(/^\d+(ms|s|m|h|d)$/, 'a number and ms, s, m, h or d')
    .default('7d')
    .describe(
      'How long the version of a deleted document is remembered, so that a stale write does not bring it back. Longer than records may wait for a redrive. Elasticsearch keeps it in memory: a restart of the node forgets it sooner.',
    ),
  requestTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe('How long to wait for the answer to a request, ms.'),
});

export type ElasticsearchConfig = z.infer<typeof elasticsearchConfigSchema>;
