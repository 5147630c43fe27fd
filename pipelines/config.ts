import { z } from 'zod';
import { optionalParts } from '../schemas/topics.ts';
import { isCountry } from './identity/steps/normalise.ts';

/** What follows from a tenant that calls too often. */
const throttleSchema = z.strictObject({
  eventsPerMinute: z
    .int()
    .min(0)
    .default(60)
    .describe('Events a minute that each ingestor still takes of the tenant; 0 takes none.'),
  seconds: z.int().min(1).max(86_400).default(900).describe('For how long, from the alert on.'),
});

export type ThrottleConfig = z.infer<typeof throttleSchema>;

/** The `pipelines` section of the configuration. */
export const pipelinesConfigSchema = z.strictObject({
  optional: z
    .array(z.enum(optionalParts))
    .default([])
    .describe(
      'Pipelines that run only where they are named here: alerts, which looks for patterns and raises alerts; enrichment, which asks providers about contacts; identity, which makes one contact of what webhooks, tables and files say of it; ledger, which carries pgbench’s tables into every store, for the proof of delivery; metrics, which computes what the dashboards show by windows of time; scoring, which scores contacts by a published model.',
    ),
  throttle: throttleSchema
    .prefault({})
    .describe('What the alert suspicious_activity does to its tenant.'),
  regions: z
    .record(
      z.string().min(1).max(128),
      z.string().refine(isCountry, 'an ISO 3166-1 code of two letters'),
    )
    .default({})
    .describe(
      'By tenant: the country that its contacts’ phone numbers are of when neither they nor the contact say one; for identity.',
    ),
});

export type PipelinesConfig = z.infer<typeof pipelinesConfigSchema>;
