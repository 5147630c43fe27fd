import { z } from 'zod';

/** The `clickhouse` section of the configuration. */
export const clickhouseConfigSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .default('http://127.0.0.1:8123')
    .describe('HTTP interface of the server.'),
  username: z.string().min(1).default('default').describe('User of the sink.'),
  password: z.string().default('').describe('Password of the user.').meta({ secret: true }),
  database: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'lower-case letters, digits and _, at most 63')
    .default('reachflow')
    .describe('Database of the tables that the sink owns; created when missing.'),
  maxConnections: z
    .int()
    .min(1)
    .max(100)
    .default(10)
    .describe('Connections of the sink, which is also how many partitions it writes at once.'),
  batchSize: z
    .int()
    .min(1)
    .max(100_000)
    .default(20_000)
    .describe('The most rows of one insert: ClickHouse likes few large ones.'),
  batchBytes: z
    .int()
    .min(65_536)
    .max(67_108_864)
    .default(8_388_608)
    .describe('The most bytes of one insert, as they are in Kafka.'),
  flushMs: z
    .int()
    .min(0)
    .max(60_000)
    .default(1_000)
    .describe(
      'How long the first row of an insert waits for more, ms. Each partition of a topic makes an insert so often at most.',
    ),
  requestTimeoutMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(30_000)
    .describe('How long to wait for the answer to a request, ms.'),
});

export type ClickhouseConfig = z.infer<typeof clickhouseConfigSchema>;
