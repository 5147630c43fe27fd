import { errors, type estypes } from '@elastic/elasticsearch';
import { DELIVERED, type RecordResult } from '../../runtime/delivery/sink.ts';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { quote } from '../record.ts';

const TOO_LARGE = 413;

/** HTTP statuses that speak of what was sent: malformed, too large, not processable. */
const DATA_STATUSES: ReadonlySet<number> = new Set([400, TOO_LARGE, 422]);

/**
 * Errors of an item with such a status that do not speak of the document. The sink writes the fields of the topic's
 * schema only: when one is not in the mapping, the index is behind, and so it is for every document.
 */
const INDEX_ERRORS: ReadonlySet<string> = new Set(['strict_dynamic_mapping_exception']);

const CONFLICT = 409;

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

function retryStore(why: string, answered: boolean, cause?: unknown): RecordResult {
  return { status: 'retry', of: 'store', error: unavailable(why, answered, cause) };
}

/** The reason and what it was caused by: often only the latter says which value. */
function reasonOf(error: estypes.ErrorCause): string {
  const cause = error.caused_by?.reason;
  const reason = error.reason ?? error.type;
  return typeof cause === 'string' ? `${reason}: ${cause}` : reason;
}

/**
 * What became of one operation of a bulk request that was answered. A conflict says that the store has this version
 * or a newer one, or, of a `create`, the document: it is delivered.
 */
export function classifyItem(item: estypes.BulkResponseItem | undefined): RecordResult {
  if (item === undefined) return retryStore('the answer lacks this operation', true);
  const { status, error } = item;
  if (status < 300 || status === CONFLICT) return DELIVERED;
  if (error === undefined) return retryStore(`status ${status}`, true);
  if (DATA_STATUSES.has(status) && !INDEX_ERRORS.has(error.type)) {
    return rejected(reasonOf(error), error.type);
  }
  return retryStore(`${reasonOf(error)} (${error.type}, ${status})`, true);
}

/**
 * What a bulk request that failed as a whole says of the operations it carried: `rejected` stands for all of them, and
 * is narrowed down to the one at fault by halving.
 * @param bytes of the request.
 */
export function classifyRequest(error: unknown, bytes: number): RecordResult {
  if (!(error instanceof errors.ResponseError)) return classifyUnsent(error);
  const status = error.statusCode ?? 0;
  if (status === TOO_LARGE) return tooLarge(bytes, undefined);
  if (DATA_STATUSES.has(status)) return rejected(error.message, `status ${status}`, error);
  return classifyUnsent(error);
}

/** What a failure before anything was sent says of the records: the store is at fault, not they. */
export function classifyUnsent(error: unknown): RecordResult {
  return retryStore(errorMessage(error), error instanceof errors.ResponseError, error);
}

/** The answer for a document that by itself is larger than a request may be. @param limit as far as it is known. */
export function tooLarge(bytes: number, limit: number | undefined): RecordResult {
  const most = limit === undefined ? '' : ` of ${limit} bytes`;
  return rejected(
    `with ${bytes} bytes it is larger than the server's http.max_content_length${most}`,
    'too large',
  );
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

/** The type of the error that a server answered; undefined for other failures. */
export function errorType(error: unknown): string | undefined {
  if (!(error instanceof errors.ResponseError)) return undefined;
  const body: unknown = error.body;
  if (typeof body !== 'object' || body === null || !('error' in body)) return undefined;
  const { error: cause } = body;
  if (typeof cause !== 'object' || cause === null || !('type' in cause)) return undefined;
  return String(cause.type);
}

/** Did the server answer that there is no such thing? */
export function isNotFound(error: unknown): boolean {
  return error instanceof errors.ResponseError && error.statusCode === 404;
}

/** Did the server answer that the user may not do this? */
export function isForbidden(error: unknown): boolean {
  return error instanceof errors.ResponseError && error.statusCode === 403;
}
