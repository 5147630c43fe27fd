import { z } from 'zod';
import { optionalParts } from '../schemas/topics.ts';

/** The `pipelines` section of the configuration. */
export const pipelinesConfigSchema = z.strictObject({
  optional: z
    .array(z.enum(optionalParts))
    .default([])
    .describe(
      'Pipelines that run only where they are named here: alerts, which looks for patterns and raises alerts; enrichment, which asks providers about contacts; identity, which makes one contact of what webhooks, tables and files say of it; ledger, which carries pgbench’s tables into every store, for the proof of delivery.',
    ),
});

export type PipelinesConfig = z.infer<typeof pipelinesConfigSchema>;
