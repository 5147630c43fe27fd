import { errors, type estypes } from '@elastic/elasticsearch';
import { DELIVERED, type RecordResult } from '../../runtime/delivery/sink.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { quote } from '../record.ts';

/** HTTP statuses that speak of what was sent: malformed, too large, not processable. */
const DATA_STATUSES: ReadonlySet<number> = new Set([400, 413, 422]);

const CONFLICT = 409;
const NOT_FOUND = 404;

const UNAVAILABLE_HINT =
  'Check that Elasticsearch of elasticsearch.url is up, reachable and writable; nothing is lost meanwhile.';

function unavailable(why: string, answered: boolean, cause?: unknown): ReachflowError {
  return new ReachflowError(`Elasticsearch did not take the write: ${quote(why)}`, {
    code: answered ? 'ELASTICSEARCH_REFUSED' : 'ELASTICSEARCH_UNAVAILABLE',
    domain: 'external',
    retry: 'backoff',
    hint: UNAVAILABLE_HINT,
    cause,
  });
}

function rejected(why: string, kind: string, cause?: unknown): RecordResult {
  const error = new ReachflowError(`Elasticsearch rejects the document: ${quote(why)} (${kind})`, {
    code: 'ELASTICSEARCH_REJECTED',
    domain: 'user',
    hint: `${kind}: correct the record at its source, or change the mapping.`,
    cause,
  });
  return { status: 'rejected', error };
}

/** The reason and what it was caused by: often only the latter says which value. */
function reasonOf(error: estypes.ErrorCause): string {
  const cause = error.caused_by?.reason;
  const reason = error.reason ?? error.type;
  return typeof cause === 'string' ? `${reason}: ${cause}` : reason;
}

/**
 * What became of one operation of a bulk request that was answered.
 * A version conflict says that the store has this version or a newer one; a delete that finds nothing leaves
 * its version behind all the same. Both are delivered.
 */
export function classifyItem(item: estypes.BulkResponseItem | undefined): RecordResult {
  if (item === undefined) {
    return {
      status: 'retry',
      of: 'store',
      error: unavailable('the answer lacks this operation', true),
    };
  }
  const { status, error } = item;
  if (status < 300 || status === CONFLICT) return DELIVERED;
  if (error === undefined) {
    if (status === NOT_FOUND) return DELIVERED;
    return { status: 'retry', of: 'store', error: unavailable(`status ${status}`, true) };
  }
  if (DATA_STATUSES.has(status)) return rejected(reasonOf(error), error.type);
  return {
    status: 'retry',
    of: 'store',
    error: unavailable(`${reasonOf(error)} (${error.type}, ${status})`, true),
  };
}

/** What a bulk request that failed as a whole says of the operations it carried. */
export function classifyRequest(error: unknown): RecordResult {
  if (!(error instanceof errors.ResponseError)) {
    return { status: 'retry', of: 'store', error: unavailable(errorMessage(error), false, error) };
  }
  const status = error.statusCode ?? 0;
  if (DATA_STATUSES.has(status)) return rejected(error.message, `status ${status}`, error);
  return { status: 'retry', of: 'store', error: unavailable(error.message, true, error) };
}

/** Why `open` failed: `retry: 'backoff'` while the store may come up, `none` when settings have to change. */
export function classifyOpen(error: unknown): ReachflowError {
  if (error instanceof ReachflowError) return error;
  const status = error instanceof errors.ResponseError ? error.statusCode : undefined;
  const settings =
    error instanceof errors.ProductNotSupportedError ||
    (status !== undefined && (status === 401 || status === 403 || DATA_STATUSES.has(status)));
  if (!settings) return unavailable(errorMessage(error), status !== undefined, error);
  return new ReachflowError(`cannot use Elasticsearch: ${quote(errorMessage(error))}`, {
    code: 'ELASTICSEARCH_SETTINGS',
    domain: 'user',
    hint: 'Correct elasticsearch.url and the user, or use another elasticsearch.indexPrefix if the index has another mapping.',
    cause: error,
  });
}
