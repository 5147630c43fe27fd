import { z } from 'zod';

const jsonPointer = z
  .string()
  .regex(/^(\/([^~/]|~[01])*)+$/, 'an RFC 6901 pointer such as /data/id');

const secrets = z
  .array(z.string().min(16, 'at least 16 characters'))
  .min(1)
  .max(8)
  .meta({ secret: true })
  .describe('Active signing secrets: add the new one, switch the sender, then remove the old one.');

/** What every kind of source has in common: where in the payload to find what the record is about. */
const sourceFields = {
  secrets,
  tenant: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
    .optional()
    .describe(
      'Tenant of every event of the source, unless tenantPointer finds one in the payload.',
    ),
  tenantPointer: jsonPointer
    .optional()
    .describe('Where the payload names its tenant; without a value there, `tenant` applies.'),
  eventTypePointer: jsonPointer
    .optional()
    .describe("Where the payload names the event's type, for senders that send no header for it."),
  occurredAtPointer: jsonPointer
    .optional()
    .describe('Where the payload says when it happened: ISO 8601, or unix time in s or ms.'),
};

/** The first pointer with a string or a number wins; without any, the event type stands in. */
function entityPointers(...defaults: string[]) {
  return z
    .array(jsonPointer)
    .max(8)
    .default(defaults)
    .describe('Where the payload names what the event is about: the record key, after the tenant.');
}

const hmacSource = z.strictObject({
  scheme: z.literal('hmac').describe("Reachflow's own: HMAC-SHA256 over `<timestamp>.<body>`."),
  ...sourceFields,
  entityPointers: entityPointers('/entity_id', '/id'),
});

const githubSource = z.strictObject({
  scheme: z.literal('github').describe("GitHub's X-Hub-Signature-256."),
  ...sourceFields,
  entityPointers: entityPointers('/repository/full_name', '/organization/login', '/sender/login'),
});

const sourceConfigSchema = z
  .discriminatedUnion('scheme', [hmacSource, githubSource])
  .refine((source) => source.tenant !== undefined || source.tenantPointer !== undefined, {
    message: 'a source needs `tenant`, `tenantPointer` or both',
  });

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
  sources: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'lower-case letters, digits, - and _'),
      sourceConfigSchema,
    )
    .default({})
    .describe('Who may post: POST /webhooks/ingest/<name>.'),
});

export type WebhookConfig = z.infer<typeof webhookConfigSchema>;
export type WebhookSource = z.infer<typeof sourceConfigSchema>;
