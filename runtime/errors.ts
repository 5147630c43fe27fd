/** Who has to act: the sender of the data or config, an engine we depend on, or us. */
export type ErrorDomain = 'user' | 'external' | 'internal';

/** Whether trying the same thing again can help. */
export type RetryHint = 'none' | 'backoff';

export interface ReachflowErrorOptions {
  /** Stable upper-case identifier, e.g. `KAFKA_UNAVAILABLE`; errors are matched by it, never by text. */
  readonly code: string;
  readonly domain: ErrorDomain;
  readonly retry?: RetryHint;
  /** What the reader can do about it, one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Every error that reaches a user: what failed (message), why (cause) and what to do (hint). */
export class ReachflowError extends Error {
  readonly code: string;
  readonly domain: ErrorDomain;
  readonly retry: RetryHint;
  readonly hint: string | undefined;

  constructor(message: string, options: ReachflowErrorOptions) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'ReachflowError';
    this.code = options.code;
    this.domain = options.domain;
    this.retry = options.retry ?? 'none';
    this.hint = options.hint;
  }
}

/** The text of anything thrown, without its stack. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The structured `code` of anything thrown (`ECONNREFUSED`, SQLSTATE, `KAFKA_UNAVAILABLE`), if it has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' || typeof code === 'number' ? String(code) : undefined;
}
