import { ReachflowError } from '../errors.ts';
import { dlq, type NotOk } from '../topology/outcome.ts';

/** A dead letter with every reason, not only the first. `reasons` must not be empty. */
export function invalid(what: string, reasons: readonly string[], tenant?: string): NotOk {
  const error = new ReachflowError(`${what} is not valid: ${reasons.join('; ')}`, {
    code: 'VALIDATION',
    domain: 'user',
    hint: 'Correct it at its source, or patch and redrive the dead letter.',
  });
  return dlq(error, tenant);
}
