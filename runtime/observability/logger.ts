import { type DestinationStream, destination, type Logger, pino, stdSerializers } from 'pino';
import { maskUrlsIn, REDACTED } from '../config/redact.ts';
import type { LogConfig } from './config.ts';

export interface LoggerOptions {
  /** Fields of every line, such as the process's role. */
  readonly bindings?: Readonly<Record<string, unknown>>;
  /** Where lines go; standard error when absent, so that standard output is left to a command's results. */
  readonly destination?: DestinationStream;
}

const SECRET_FIELDS = [
  'password',
  'secret',
  'secrets',
  'token',
  'apiKey',
  'authorization',
  'cookie',
  'x-hub-signature-256',
];

/** A field of the line, of an object in it, and of that object's headers. */
const SECRET_PATHS = SECRET_FIELDS.flatMap((field) => {
  const quoted = `["${field}"]`;
  return [quoted, `*${quoted}`, `*.headers${quoted}`];
});

/**
 * The process's logger: one JSON object a line, time in ISO 8601, level by name, errors as `err` or `error` with
 * code, hint and causes. Replaces secret fields, and the password of every URL in a line: clients' errors like to
 * quote the URL they were given.
 */
export function createLogger(config: LogConfig, options: LoggerOptions = {}): Logger {
  return pino(
    {
      level: config.level,
      base: { ...options.bindings },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err, error: stdSerializers.err },
      redact: { paths: [...SECRET_PATHS, ...config.redact], censor: REDACTED },
      hooks: { streamWrite: maskUrlsIn },
    },
    options.destination ?? destination({ fd: 2, sync: true }),
  );
}

/** A logger whose lines name the part they come from. */
export function componentLogger(logger: Logger, component: string): Logger {
  return logger.child({ component });
}
