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
  // What records hold is other people's data.
  'payload',
  'body',
  'rawBody',
];

/** A field of the line, of an object in it, and of that object's headers. */
const SECRET_PATHS = SECRET_FIELDS.flatMap((field) => {
  const quoted = `["${field}"]`;
  return [quoted, `*${quoted}`, `*.headers${quoted}`];
});

const LIVE = Symbol('fields of the moment');

/** Fields that change while a logger lives, asked at each line. */
type LiveFields = () => Readonly<Record<string, unknown>>;

/** Children inherit it: pino makes them with their parent as prototype. */
function liveFieldsOf(logger: Logger): Readonly<Record<string, unknown>> {
  return (logger as { readonly [LIVE]?: LiveFields })[LIVE]?.() ?? {};
}

/** Bytes are keys and values of records: their number is all that is written. */
function withoutBytes(line: Record<string, unknown>): Record<string, unknown> {
  let safe = line;
  for (const [name, value] of Object.entries(line)) {
    if (!ArrayBuffer.isView(value)) continue;
    if (safe === line) safe = { ...line };
    safe[name] = `[${value.byteLength} bytes]`;
  }
  return safe;
}

/**
 * The process's logger: one JSON object a line, time in ISO 8601, level by name, errors as `err` or `error` with
 * code, hint and causes. Replaces secret fields, what records hold, and the password of every URL in a line: clients'
 * errors like to quote the URL they were given.
 */
export function createLogger(config: LogConfig, options: LoggerOptions = {}): Logger {
  return pino(
    {
      level: config.level,
      base: { ...options.bindings },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: withoutBytes },
      // A fresh object: pino merges the line into it.
      mixin: (_line, _level, logger) => ({ ...liveFieldsOf(logger as Logger) }),
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

export interface TaskIdentity {
  readonly pipeline: string;
  readonly subTopology: string;
  readonly partition: number;
}

/**
 * A logger whose lines, and those of its children, name the task.
 * @param moment fields of the moment, such as epoch and trace id; asked at each line, so keep it cheap.
 */
export function taskLogger(
  logger: Logger,
  { pipeline, subTopology, partition }: TaskIdentity,
  moment: () => { readonly epoch?: number; readonly traceId?: string | undefined },
): Logger {
  const child = logger.child({ pipeline, subTopology, partition });
  return Object.assign(child, { [LIVE]: moment });
}
