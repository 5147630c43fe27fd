import { errorMessage, ReachflowError } from '../errors.ts';
import { isNoRoom } from '../state/disk-full.ts';

/** The spool holds as much as it may. */
export function spoolFull(dir: string, maxBytes: number): ReachflowError {
  return new ReachflowError(`the spool in ${dir} is full: ${maxBytes} bytes`, {
    code: 'SPOOL_FULL',
    domain: 'external',
    retry: 'backoff',
    hint: 'The brokers have been away for too long: bring them back, or give the spool more room (maxBytes).',
  });
}

/** The file system does not take what is written. */
export function spoolUnavailable(dir: string, cause: unknown): ReachflowError {
  return new ReachflowError(`the spool in ${dir} cannot be written: ${errorMessage(cause)}`, {
    code: 'SPOOL_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: isNoRoom(cause)
      ? 'Make room on the disk of the spool.'
      : 'Look at the disk of the spool: what was accepted so far is on it, and is kept.',
    cause,
  });
}

/** Another process has the directory. */
export function spoolLocked(dir: string, cause: unknown): ReachflowError {
  return new ReachflowError(`the spool in ${dir} is in use by another process`, {
    code: 'SPOOL_LOCKED',
    domain: 'user',
    retry: 'backoff',
    hint: 'Give each process a spool directory of its own, or end the other one.',
    cause,
  });
}
