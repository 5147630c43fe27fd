import { S3ServiceException } from '@aws-sdk/client-s3';
import { errorMessage, ReachflowError } from '../errors.ts';
import { abortedError } from './storage.ts';

/** There is no such object or upload, or, for PreconditionFailed, it was replaced while it was read. */
const MISSING: ReadonlySet<string> = new Set([
  'NoSuchKey',
  // The answer to HEAD has no body, and so no code of S3.
  'NotFound',
  'NoSuchUpload',
  'PreconditionFailed',
]);

/** Answers of the class 4xx that another attempt may change, by code and by status. */
const TRANSIENT: ReadonlySet<string> = new Set(['RequestTimeout', 'SlowDown', 'Throttling']);
const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** Whether an answer says that there is no such object, or upload. */
export function isMissing(error: unknown): boolean {
  return error instanceof S3ServiceException && MISSING.has(error.name);
}

/** An error of the client as ours, by its code and status. */
export function s3Error(
  error: unknown,
  what: string,
  signal: AbortSignal | undefined,
): ReachflowError {
  if (error instanceof ReachflowError) return error;
  if (signal?.aborted === true) return abortedError(withoutRequest(error));
  const name = error instanceof Error ? error.name : '';
  const message = `${what}: ${name === '' ? '' : `${name}: `}${errorMessage(error)}`;
  const cause = withoutRequest(error);
  if (isPermanent(error, name)) {
    return new ReachflowError(message, {
      code: 'CHECKPOINT_STORAGE_INVALID',
      domain: 'user',
      hint: 'See checkpoint.s3: endpoint, region, bucket and credentials, and their right to read, write, list and delete.',
      cause,
    });
  }
  return new ReachflowError(message, {
    code: 'CHECKPOINT_STORAGE_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: 'The S3 service, the network or the local disk; it is tried again.',
    cause,
  });
}

function isPermanent(error: unknown, name: string): boolean {
  if (name === 'CredentialsProviderError') return true;
  if (!(error instanceof S3ServiceException) || TRANSIENT.has(name)) return false;
  const status = error.$metadata.httpStatusCode ?? 500;
  return status >= 300 && status < 500 && !TRANSIENT_STATUS.has(status);
}

/** The client's errors carry the whole request, its signature included, into whatever prints them. */
function withoutRequest(error: unknown): unknown {
  if (error instanceof S3ServiceException) Reflect.deleteProperty(error, '$response');
  return error;
}
