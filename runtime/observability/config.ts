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

/** The `observability` section: what a process shows of itself over HTTP, and where its traces go. */
export const observabilityConfigSchema = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe('Whether each process answers /health, /metrics and /status over HTTP.'),
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe(
      'Address to listen on. /status may name keys of records that failed: open it to your own network only.',
    ),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .default(9464)
    .describe(
      'Port of the process that is started; its workers take the ports behind it, and one that is taken is passed over. 0 takes any.',
    ),
  tracesUrl: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      'Where traces go: an OTLP/HTTP endpoint, e.g. http://collector:4318/v1/traces. Without it nothing is traced.',
    ),
  tracesAuthorization: z
    .string()
    .min(1)
    .optional()
    .meta({ secret: true })
    .describe('Authorization header of that endpoint.'),
  tracesSampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(0.01)
    .describe(
      'Share of traces that begin here and are recorded; a record that is traced already stays so.',
    ),
  serviceName: z.string().min(1).default('reachflow').describe('Name of this service in traces.'),
});

export type ObservabilityConfig = z.infer<typeof observabilityConfigSchema>;
