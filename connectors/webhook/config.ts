import { z } from 'zod';
import { spoolConfigSchema } from '../../runtime/spool/config.ts';
import { sourceName } from '../event-source.ts';
import { limitsConfigSchema } from './limits-config.ts';
import { sourceConfigSchema } from './source-config.ts';

const MIB = 1_048_576;

/** The `webhook` section of the configuration. */
export const webhookConfigSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all.'),
  port: z.int().min(0).max(65_535).default(8080).describe('Port to listen on; 0 takes a free one.'),
  bodyLimitBytes: z
    .int()
    .min(1)
    .max(5 * MIB)
    .default(5 * MIB)
    .describe('Largest accepted body, bytes; larger is answered with 413.'),
  maxBufferedBytes: z
    .int()
    .min(5 * MIB)
    .default(128 * MIB)
    .describe('Bodies in memory at one time, bytes; beyond it new ones are answered with 503.'),
  maxBatchEvents: z
    .int()
    .min(1)
    .max(10_000)
    .default(1_000)
    .describe('Events of one request, at most; more are answered with 413.'),
  maxConnections: z.int().min(1).default(4_096).describe('Open connections; more are refused.'),
  maxDepth: z.int().min(1).max(1_000).default(100).describe('Deepest accepted nesting of JSON.'),
  replayWindowSeconds: z
    .int()
    .min(1)
    .default(300)
    .describe('How far a signed timestamp may be from our clock, either way, s.'),
  retryAfterSeconds: z.int().min(1).default(5).describe('Retry-After of a 503, s.'),
  ackTimeoutMs: z
    .int()
    .min(100)
    .default(8_000)
    .describe('How long a request waits for the broker before it is answered with 503, ms.'),
  headersTimeoutMs: z.int().min(100).default(10_000).describe('Time to send all headers, ms.'),
  requestTimeoutMs: z
    .int()
    .min(100)
    .default(30_000)
    .describe('Time to send the whole request, ms.'),
  keepAliveTimeoutMs: z
    .int()
    .min(100)
    .default(65_000)
    .describe('How long an idle connection stays, ms.'),
  shutdownTimeoutMs: z
    .int()
    .min(100)
    .default(10_000)
    .describe('How long a stop waits for accepted requests before it cuts their connections, ms.'),
  secretsReloadMs: z
    .int()
    .min(100)
    .default(5_000)
    .describe('How often secretsFile is looked at for changes, ms. SIGHUP looks at once.'),
  trustedProxies: z
    .array(z.union([z.cidrv4(), z.cidrv6()]))
    .default([])
    .describe('Proxies, as CIDR, whose X-Forwarded-For names the client.'),
  limits: limitsConfigSchema.prefault({}),
  spool: spoolConfigSchema.prefault({}),
  sources: z
    .record(sourceName, sourceConfigSchema)
    .default({})
    .describe('Who may post: POST /webhooks/ingest/<name>.'),
});

export type WebhookConfig = z.infer<typeof webhookConfigSchema>;
