import { errorCode, ReachflowError } from '../errors.ts';

/** What file systems say when there is no room: the disk, a quota, or the largest file that is allowed. */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Whether a file could not be written for want of room. */
export function isNoRoom(error: unknown): boolean {
  const code = errorCode(error);
  return code !== undefined && (NO_ROOM.has(code) || code === 'STATE_DISK_FULL');
}

/** The task waits, and goes on when there is room again. */
export function diskFull(what: string, cause: unknown): ReachflowError {
  if (cause instanceof ReachflowError && cause.code === 'STATE_DISK_FULL') return cause;
  return new ReachflowError(`no room for state: ${what}`, {
    code: 'STATE_DISK_FULL',
    domain: 'external',
    retry: 'backoff',
    hint: 'Make room on the disk of state.dir. Nothing is lost meanwhile: the task goes on when there is room.',
    cause,
  });
}
