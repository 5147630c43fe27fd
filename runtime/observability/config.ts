import { z } from 'zod';

/** The `log` section of the configuration. */
export const logConfigSchema = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('The least severe lines that are written.'),
  redact: z
    .array(z.string().min(1))
    .max(50)
    .default([])
    .describe('More fields to replace in every line, as pino paths, e.g. contact.email.'),
});

export type LogConfig = z.infer<typeof logConfigSchema>;
