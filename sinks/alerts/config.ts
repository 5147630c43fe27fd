import { z } from 'zod';

/** Patterns that raise alerts: `pipelines/alerts`. */
export const alertPatterns = [
  'abandoned_import',
  'suspicious_activity',
  'data_quality_issue',
] as const;
export const alertSeverities = ['critical', 'warning', 'info'] as const;

/** Which alerts go somewhere, and for how long they are worth it. */
const route = {
  patterns: z
    .array(z.enum(alertPatterns))
    .default([...alertPatterns])
    .describe('Only alerts of these patterns.'),
  severities: z
    .array(z.enum(alertSeverities))
    .default([...alertSeverities])
    .describe('Only alerts of these severities.'),
  maxAgeHours: z
    .number()
    .positive()
    .max(168)
    .default(24)
    .describe(
      'Alerts that are older are passed over: of the time before this was configured, or of a long outage.',
    ),
  timeoutMs: z
    .int()
    .min(100)
    .max(60_000)
    .default(10_000)
    .describe('How long an answer may take, ms.'),
};

const address = z
  .url({ protocol: /^https?$/ })
  .optional()
  .meta({ secret: true });

const headers = z
  .record(z.string(), z.string())
  .default({})
  .meta({ secret: true })
  .describe('Further headers, such as an authorization.');

const slackSchema = z.strictObject({
  url: address.describe('An incoming webhook of Slack; no alert goes there without.'),
  ...route,
});

const pagerdutySchema = z.strictObject({
  routingKey: z
    .string()
    .min(1)
    .optional()
    .meta({ secret: true })
    .describe('Integration key of a service (Events API v2); no alert goes there without.'),
  url: z
    .url({ protocol: /^https?$/ })
    .default('https://events.pagerduty.com/v2/enqueue')
    .describe('Where events are taken.'),
  ...route,
});

const webhookSchema = z.strictObject({
  url: address.describe('Where each alert is posted as JSON; no alert goes there without.'),
  headers,
  signingSecret: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/=]+$/, 'whsec_ and a key in base64')
    .optional()
    .meta({ secret: true })
    .describe('Signs each request as Standard Webhooks has it.'),
  ...route,
});

const ticketSchema = z.strictObject({
  url: address.describe(
    'What makes a ticket of a POST, e.g. the issues of a GitHub repository; no alert goes there without.',
  ),
  headers,
  body: z
    .record(z.string(), z.json())
    .default({
      title: '{title}',
      body: '{description}',
      labels: ['reachflow', '{pattern}'],
    })
    .describe(
      'The JSON that is posted: in its texts {title}, {description}, {alert_id}, {pattern}, {severity}, {tenant} and {subject} are filled in.',
    ),
  ...route,
});

const emailSchema = z.strictObject({
  url: z
    .url({ protocol: /^smtps?$/ })
    .optional()
    .meta({ secret: true })
    .describe(
      'The mail server: smtp://user:password@host:587 (STARTTLS where it is offered), smtps://…:465. No alert is mailed without.',
    ),
  from: z.email().default('reachflow@localhost.localdomain').describe('Sender.'),
  to: z.array(z.email()).max(50).default([]).describe('Recipients.'),
  requireTls: z
    .boolean()
    .default(false)
    .describe('Whether a server that offers no STARTTLS is refused.'),
  ...route,
});

/** The `alerts` section: who is told of alerts. */
export const alertsConfigSchema = z.strictObject({
  actions: z
    .strictObject({
      slack: slackSchema.prefault({}).describe('Messages to Slack.'),
      pagerduty: pagerdutySchema.prefault({}).describe('Incidents in PagerDuty.'),
      webhook: webhookSchema.prefault({}).describe('Requests to any HTTP server.'),
      ticket: ticketSchema.prefault({}).describe('Tickets, in whatever takes them by HTTP.'),
      email: emailSchema.prefault({}).describe('Mails.'),
    })
    .prefault({})
    .describe('What is done with the alerts of `alert.raised`; each by itself.'),
});

export type AlertsConfig = z.infer<typeof alertsConfigSchema>;
export type AlertActions = AlertsConfig['actions'];
/** What all actions have. */
export type AlertRoute = Pick<
  AlertActions['slack'],
  'patterns' | 'severities' | 'maxAgeHours' | 'timeoutMs'
>;
