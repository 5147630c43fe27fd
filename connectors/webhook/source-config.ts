import { z } from 'zod';
import { jsonPointer } from '../event-source.ts';
import { isStandardWebhooksKey } from './schemes/standard-webhooks.ts';

/** What a secret of a scheme looks like. A file of secrets is held to the same rule as the configuration. */
const plainSecret = z.string().min(16, 'at least 16 characters').max(1_024);
const standardWebhooksKey = z
  .string()
  .refine(isStandardWebhooksKey, 'whsec_<base64 of 16 to 64 bytes> or whpk_<base64 of 32 bytes>');

/** The active secrets of one source. */
export function secretsSchema(scheme: string) {
  return z
    .array(scheme === 'standard-webhooks' ? standardWebhooksKey : plainSecret)
    .min(1, 'at least one secret')
    .max(8, 'at most 8 secrets');
}

interface PointerDefaults {
  readonly eventId?: string;
  readonly eventType?: string;
  readonly occurredAt?: string;
  /** The first pointer with a string or a number wins; without any, the event type stands in. */
  readonly entity: readonly string[];
}

function pointer(fallback: string | undefined) {
  return fallback === undefined ? jsonPointer.optional() : jsonPointer.default(fallback);
}

/** What every kind of source has in common: its secrets, and where to find what an event is about. */
function sourceFields(scheme: string, defaults: PointerDefaults) {
  return {
    secrets: secretsSchema(scheme)
      .optional()
      .meta({ secret: true })
      .describe(
        'Active signing secrets: add the new one, switch the sender, then remove the old one.',
      ),
    secretsFile: z
      .string()
      .min(1)
      .optional()
      .describe(
        'File with the active secrets, one a line, instead of `secrets`; read again when it changes.',
      ),
    tenant: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
      .optional()
      .describe('Tenant of every event of the source in which nothing else names one.'),
    tenantPointer: jsonPointer
      .optional()
      .describe('Where the payload names its tenant; without a value there, the header applies.'),
    tenantHeader: z
      .string()
      .regex(/^[a-z0-9-]{1,64}$/, 'a header name in lower case')
      .optional()
      .describe(
        'Header that names the tenant; most schemes do not sign it. Then `tenant` applies.',
      ),
    eventIdPointer: pointer(defaults.eventId).describe(
      "Where the payload names the event's own id, unique in the source and the same on each retry: it takes the place of the delivery's id.",
    ),
    eventTypePointer: pointer(defaults.eventType).describe(
      "Where the payload names the event's type, for senders that send no header for it.",
    ),
    occurredAtPointer: pointer(defaults.occurredAt).describe(
      'Where the payload says when it happened: ISO 8601, or unix time in s or ms.',
    ),
    entityPointers: z
      .array(jsonPointer)
      .max(8)
      .default([...defaults.entity])
      .describe(
        'Where the payload names what the event is about: the record key, after the tenant.',
      ),
    arrays: z
      .enum(['batch', 'event'])
      .default('batch')
      .describe('What a JSON array is: a batch of events, or one event.'),
    batchHandling: z
      .enum(['strict', 'lenient'])
      .default('strict')
      .describe(
        'What one invalid event does to its batch: refuses all of it, or is left out. A request may say so itself (`Prefer: handling=…`).',
      ),
  };
}

const hmacSource = z.strictObject({
  scheme: z.literal('hmac').describe("Reachflow's own: HMAC-SHA256 over `<timestamp>.<body>`."),
  ...sourceFields('hmac', { entity: ['/entity_id', '/id'] }),
});

const standardWebhooksSource = z.strictObject({
  scheme: z
    .literal('standard-webhooks')
    .describe('standardwebhooks.com: v1 (HMAC), v1a (ed25519).'),
  ...sourceFields('standard-webhooks', {
    eventType: '/type',
    occurredAt: '/timestamp',
    entity: ['/data/id', '/id'],
  }),
});

const githubSource = z.strictObject({
  scheme: z.literal('github').describe("GitHub's X-Hub-Signature-256."),
  ...sourceFields('github', {
    entity: ['/repository/full_name', '/organization/login', '/sender/login'],
  }),
});

const stripeSource = z.strictObject({
  scheme: z.literal('stripe').describe("Stripe's Stripe-Signature."),
  ...sourceFields('stripe', {
    eventId: '/id',
    eventType: '/type',
    occurredAt: '/created',
    entity: ['/data/object/id', '/related_object/id', '/account'],
  }),
});

const shopifySource = z.strictObject({
  scheme: z.literal('shopify').describe("Shopify's X-Shopify-Hmac-Sha256."),
  ...sourceFields('shopify', { entity: ['/admin_graphql_api_id', '/id'] }),
});

const slackSource = z.strictObject({
  scheme: z.literal('slack').describe("Slack's X-Slack-Signature (Events API)."),
  ...sourceFields('slack', {
    eventId: '/event_id',
    eventType: '/event/type',
    occurredAt: '/event_time',
    entity: ['/event/channel', '/event/channel/id', '/event/user', '/team_id'],
  }),
});

/** One source of webhooks: who signs, and where its payloads say what they are about. */
export const sourceConfigSchema = z
  .discriminatedUnion('scheme', [
    hmacSource,
    standardWebhooksSource,
    githubSource,
    stripeSource,
    shopifySource,
    slackSource,
  ])
  .refine(
    ({ tenant, tenantPointer, tenantHeader }) =>
      tenant !== undefined || tenantPointer !== undefined || tenantHeader !== undefined,
    { message: 'a source needs `tenant`, `tenantPointer` or `tenantHeader`' },
  )
  .refine(({ secrets, secretsFile }) => (secrets === undefined) !== (secretsFile === undefined), {
    message: 'a source needs either `secrets` or `secretsFile`',
  });

export type WebhookSource = z.infer<typeof sourceConfigSchema>;
