import { errorMessage, ReachflowError } from '../errors.ts';
import { RetryLater } from './stops.ts';

/** Another owner of the task's transactional id took over. */
export function isFenced(error: unknown): boolean {
  return error instanceof ReachflowError && error.code === 'FENCED';
}

/** Whether waiting may help; what it cannot help is a bug of a step, or of ours. */
export function isRetriable(error: unknown): boolean {
  if (error instanceof RetryLater || isFenced(error)) return true;
  return error instanceof ReachflowError && error.retry === 'backoff';
}

/** What a process ends with. */
export function asFatal(error: unknown): ReachflowError {
  if (error instanceof ReachflowError) return error;
  return new ReachflowError(errorMessage(error), {
    code: 'TASK_FAILED',
    domain: 'internal',
    cause: error,
  });
}
