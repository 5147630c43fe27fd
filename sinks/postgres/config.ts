import { z } from 'zod';

/** The `postgres` section of the configuration. */
export const postgresConfigSchema = z.strictObject({
  url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'postgres://user:password@host:port/database')
    .default('postgres://postgres@127.0.0.1:5432/postgres')
    .describe('Where to connect: postgres://user:password@host:port/database.')
    .meta({ secret: true }),
  schema: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'lower-case letters, digits and _, at most 63')
    .default('reachflow')
    .describe('Schema of the tables that the sink owns.'),
  maxConnections: z
    .int()
    .min(1)
    .max(100)
    .default(10)
    .describe('Connections of the sink, which is also how many partitions it writes at once.'),
  batchSize: z.int().min(1).max(10_000).default(1_000).describe('The most rows of one statement.'),
  connectTimeoutMs: z
    .int()
    .min(100)
    .max(60_000)
    .default(15_000)
    .describe(
      'How long to wait for a connection, ms. A server that is slow takes several slow answers to open one.',
    ),
  statementTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe('How long one statement may run before the server ends it, ms.'),
});

export type PostgresConfig = z.infer<typeof postgresConfigSchema>;
