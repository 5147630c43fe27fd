import { z } from 'zod';
import { bearerTokens } from '../runtime/http/bearer.ts';

const tenant = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);

/** Who may look. */
const viewerSchema = z
  .strictObject({
    tokens: bearerTokens,
    tenants: z
      .union([z.literal('*'), z.array(tenant).min(1).max(1_000)])
      .describe('Whose charts and dead letters it sees. `*` is everybody’s.'),
    role: z
      .enum(['viewer', 'operator'])
      .default('viewer')
      .describe(
        'An operator also sees the pipelines, and sends dead letters back or drops them; it sees all tenants.',
      ),
  })
  .refine(({ role, tenants }) => role === 'viewer' || tenants === '*', {
    message: 'an operator sees all tenants: set tenants to *',
    path: ['tenants'],
  });

/** The `console` section of the configuration. */
export const consoleConfigSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on. Without viewers only one of loopback is taken.'),
  port: z.int().min(0).max(65_535).default(8088).describe('Port to listen on; 0 takes a free one.'),
  viewers: z
    .record(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/), viewerSchema)
    .default({})
    .describe('Who may look, by name. Without any, everybody on this machine may do everything.'),
  refreshMs: z
    .int()
    .min(100)
    .max(60_000)
    .default(500)
    .describe('How often a chart that somebody looks at is asked for anew, ms.'),
  statusMs: z
    .int()
    .min(500)
    .max(60_000)
    .default(1_000)
    .describe('How often brokers and processes are asked for the pipelines’ figures, ms.'),
  maxQueries: z
    .int()
    .min(1)
    .max(32)
    .default(4)
    .describe('Queries that ClickHouse works on at one time for the console; others wait.'),
  queryShare: z
    .number()
    .min(0.05)
    .max(16)
    .default(0.5)
    .describe(
      'How much of the time ClickHouse may work on charts: 0.5 is half of one connection. Slow charts are asked for less often.',
    ),
  queryTimeoutMs: z
    .int()
    .min(100)
    .max(60_000)
    .default(5_000)
    .describe('How long ClickHouse may work on one chart, ms.'),
  maxRows: z.int().min(10).max(100_000).default(10_000).describe('Most rows of a chart.'),
  maxCharts: z
    .int()
    .min(1)
    .max(10_000)
    .default(500)
    .describe('Charts that are kept up to date at one time, each for one tenant and range.'),
  maxStreams: z
    .int()
    .min(1)
    .max(10_000)
    .default(200)
    .describe('Browsers that are kept up to date at one time.'),
  clientBufferBytes: z
    .int()
    .min(65_536)
    .default(1_048_576)
    .describe('What a browser may leave unread before it is disconnected, bytes.'),
  maxLetters: z
    .int()
    .min(1_000)
    .max(10_000_000)
    .default(200_000)
    .describe('Newest dead letters that a list looks through.'),
});

export type ConsoleConfig = z.output<typeof consoleConfigSchema>;
