import { z } from 'zod';
import { DLQ_RETENTION_MS } from '../../schemas/topics.ts';

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
  keepDeletedDays: z
    .int()
    .min(DLQ_RETENTION_MS / 86_400_000 + 1)
    .max(3_650)
    .default(30)
    .describe(
      'Days that the version of a deleted document is kept, as an emptied document that searches through the alias do not find: until then no stale record brings it back. Longer than a record may wait in a DLQ or for a replay.',
    ),
  retentionDays: z
    .int()
    .min(1)
    .max(3_650)
    .default(90)
    .describe(
      'Days that documents of topics that only grow (events) are kept, by their event time: then the index of the day is deleted.',
    ),
  warmAfterDays: z
    .int()
    .min(1)
    .default(7)
    .describe('Age of a day’s index at which the lifecycle policy moves it to warm nodes, days.'),
  coldAfterDays: z
    .int()
    .min(2)
    .default(30)
    .describe('Age of a day’s index at which the lifecycle policy moves it to cold nodes, days.'),
  lifecycle: z
    .enum(['auto', 'sink'])
    .default('auto')
    .describe(
      'Who deletes the indices of old days: a lifecycle policy (ILM) where the server has it, else the sink (auto), or always the sink.',
    ),
  maintenanceIntervalMs: z
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(3_600_000)
    .describe(
      'How often the sink purges what was deleted long ago, deletes old days where no policy does, and looks whether days need more shards, ms.',
    ),
  requestTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe('How long to wait for the answer to a request, ms.'),
});

export type ElasticsearchConfig = z.infer<typeof elasticsearchConfigSchema>;
