import type { PayloadRef } from '../../schemas/payloads.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import { directoryOf } from './layout.ts';

function named({ sha256, day, bytes }: PayloadRef): string {
  return `the payload ${sha256} (${bytes} bytes, stored on ${directoryOf(day)})`;
}

/** The storage does not answer, or its settings are wrong: nothing is lost, and its readers wait. */
export function storageUnavailable(what: string, location: string, cause: unknown): ReachflowError {
  return new ReachflowError(`cannot ${what} in ${location}: ${errorMessage(cause)}`, {
    code: 'CLAIM_STORAGE_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: 'See the section claimCheck: the directory and its rights, or the S3 service and its credentials.',
    cause,
  });
}

/** It has to be there: the record waits for it. */
export function notFound(ref: PayloadRef, location: string): ReachflowError {
  return new ReachflowError(`${named(ref)} is not in ${location}`, {
    code: 'CLAIM_NOT_FOUND',
    domain: 'external',
    retry: 'backoff',
    hint: 'Was it written on another host? claimCheck has to name the same storage everywhere: a shared directory, or s3. The record waits until it is there.',
  });
}

/** It was removed in its time, and its record is read after it. */
export function expired(ref: PayloadRef, location: string, retentionDays: number): ReachflowError {
  return new ReachflowError(
    `${named(ref)} is not in ${location} any more: it was kept for ${retentionDays} days`,
    {
      code: 'CLAIM_EXPIRED',
      domain: 'user',
      hint: 'Records are read after claimCheck.retentionDays: it has to be longer than they are in their topic, retry topic and DLQ.',
    },
  );
}

/** What is stored under its name is not what was written. */
export function corrupt(ref: PayloadRef, location: string, found: string): ReachflowError {
  return new ReachflowError(`${named(ref)} is damaged in ${location}: ${found}`, {
    code: 'CLAIM_CORRUPT',
    domain: 'external',
    hint: 'Restore the object from a copy, then redrive the record; see docs/guides/webhooks.md.',
  });
}
