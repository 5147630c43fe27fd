import pg from 'pg';
import type { RecordResult } from '../../runtime/delivery/sink.ts';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { quote } from '../record.ts';

/**
 * SQLSTATE classes that speak of the data sent: data exception, integrity constraint violation, program limit
 * exceeded (a key too long for its index), an error that somebody's trigger raises. All else speaks of the server (down,
 * full, out of memory), of the moment (serialization failure, deadlock, lock or statement timeout), of the connection or
 * of our rights. PostgreSQL documentation, Appendix A.
 */
const DATA_CLASSES: ReadonlySet<string> = new Set(['22', '23', '54', 'P0']);

/**
 * Of those, what another row decides, which may come or go: foreign key, unique and exclusion violation. The sink's own key
 * cannot be violated, but somebody may have added constraints.
 */
const HEALING_STATES: ReadonlySet<string> = new Set(['23503', '23505', '23P01']);

/** Of no use to try again before somebody changes settings: wrong credentials, database, rights or server. */
const SETTINGS_CLASSES: ReadonlySet<string> = new Set(['28', '3D', '3F', '42']);

function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** The error of a store that could not take anything, whatever the record. */
export function unavailable(error: unknown): ReachflowError {
  const state = sqlState(error);
  const code = state ?? errorCode(error);
  return new ReachflowError(
    `Postgres did not take the write: ${quote(errorMessage(error))}${code === undefined ? '' : ` (${code})`}`,
    {
      code: state === undefined ? 'POSTGRES_UNAVAILABLE' : 'POSTGRES_REFUSED',
      domain: 'external',
      retry: 'backoff',
      hint: 'Check that Postgres of postgres.url is up, reachable and writable; nothing is lost meanwhile.',
      cause: error,
    },
  );
}

/** What a failed statement says of the rows it carried. */
export function classifyWrite(
  error: unknown,
): Extract<RecordResult, { readonly error: ReachflowError }> {
  const state = sqlState(error);
  if (state === undefined || !DATA_CLASSES.has(state.slice(0, 2))) {
    return { status: 'retry', of: 'store', error: unavailable(error) };
  }
  if (HEALING_STATES.has(state))
    return { status: 'retry', of: 'record', error: conflict(error, state) };
  // Only the message: `detail` would quote the whole row.
  return {
    status: 'rejected',
    error: new ReachflowError(
      `Postgres rejects the row: ${quote(errorMessage(error))} (${state})`,
      {
        code: 'POSTGRES_REJECTED',
        domain: 'user',
        hint: `SQLSTATE ${state}: correct the record at its source, or widen the column.`,
        cause: error,
      },
    ),
  };
}

/** Whether a failure says nothing of the rows. Its connection is of no use any more: a silent one would not even roll back. */
export function isOfStore(error: unknown): boolean {
  const answer = classifyWrite(error);
  return answer.status === 'retry' && answer.of === 'store';
}

function conflict(error: unknown, state: string): ReachflowError {
  const message = `Postgres cannot take the row beside the others: ${quote(errorMessage(error))} (${state})`;
  return new ReachflowError(message, {
    code: 'POSTGRES_CONFLICT',
    domain: 'user',
    retry: 'backoff',
    hint: `SQLSTATE ${state}: it can be written once the row that it refers to is there, or the one in its way is gone.`,
    cause: error,
  });
}

/** Why `open` failed: `retry: 'backoff'` while the store may come up, `none` when settings have to change. */
export function classifyOpen(error: unknown): ReachflowError {
  if (error instanceof ReachflowError) return error;
  const state = sqlState(error);
  if (state === undefined || !SETTINGS_CLASSES.has(state.slice(0, 2))) return unavailable(error);
  return new ReachflowError(`cannot use Postgres: ${quote(errorMessage(error))} (${state})`, {
    code: 'POSTGRES_SETTINGS',
    domain: 'user',
    hint: 'Correct the user, password, database or rights of postgres.url.',
    cause: error,
  });
}
