import { ClickHouseError } from '@clickhouse/client';
import type { RecordResult } from '../../runtime/delivery/sink.ts';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { quote } from '../record.ts';

/**
 * Server error codes that speak of the rows sent; names as in `system.errors`. All else speaks of the server,
 * the connection or our rights. Not here: 252 TOO_MANY_PARTS, which is load.
 */
const DATA_CODES: ReadonlyMap<string, string> = new Map([
  ['6', 'CANNOT_PARSE_TEXT'],
  ['25', 'CANNOT_PARSE_ESCAPE_SEQUENCE'],
  ['26', 'CANNOT_PARSE_QUOTED_STRING'],
  ['27', 'CANNOT_PARSE_INPUT_ASSERTION_FAILED'],
  ['38', 'CANNOT_PARSE_DATE'],
  ['41', 'CANNOT_PARSE_DATETIME'],
  ['53', 'TYPE_MISMATCH'],
  ['69', 'ARGUMENT_OUT_OF_BOUND'],
  ['70', 'CANNOT_CONVERT_TYPE'],
  ['72', 'CANNOT_PARSE_NUMBER'],
  ['117', 'INCORRECT_DATA'],
  ['128', 'TOO_LARGE_ARRAY_SIZE'],
  ['131', 'TOO_LARGE_STRING_SIZE'],
  ['321', 'VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE'],
  ['349', 'CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN'],
  ['407', 'DECIMAL_OVERFLOW'],
  ['467', 'CANNOT_PARSE_BOOL'],
  ['469', 'VIOLATED_CONSTRAINT'],
  ['632', 'UNEXPECTED_DATA_AFTER_PARSED_VALUE'],
]);

/** Of no use to try again before somebody changes settings. */
const SETTINGS_CODES: ReadonlySet<string> = new Set([
  '81', // UNKNOWN_DATABASE
  '164', // READONLY
  '192', // UNKNOWN_USER
  '193', // WRONG_PASSWORD
  '194', // REQUIRED_PASSWORD
  '291', // DATABASE_ACCESS_DENIED
  '497', // ACCESS_DENIED
  '516', // AUTHENTICATION_FAILED
]);

function unavailable(error: unknown): ReachflowError {
  const answered = error instanceof ClickHouseError;
  const code = errorCode(error);
  return new ReachflowError(
    `ClickHouse did not take the write: ${quote(errorMessage(error))}${code === undefined ? '' : ` (${code})`}`,
    {
      code: answered ? 'CLICKHOUSE_REFUSED' : 'CLICKHOUSE_UNAVAILABLE',
      domain: 'external',
      retry: 'backoff',
      hint: 'Check that ClickHouse of clickhouse.url is up, reachable and writable; nothing is lost meanwhile.',
      cause: error,
    },
  );
}

/** What a failed insert says of the rows it carried. */
export function classifyWrite(error: unknown): RecordResult {
  const name = error instanceof ClickHouseError ? DATA_CODES.get(error.code) : undefined;
  if (name === undefined) return { status: 'retry', of: 'store', error: unavailable(error) };
  return {
    status: 'rejected',
    error: new ReachflowError(
      `ClickHouse rejects the row: ${quote(errorMessage(error))} (${name})`,
      {
        code: 'CLICKHOUSE_REJECTED',
        domain: 'user',
        hint: `${name}: correct the record at its source, or change the table.`,
        cause: error,
      },
    ),
  };
}

/** Why `open` failed: `retry: 'backoff'` while the store may come up, `none` when settings have to change. */
export function classifyOpen(error: unknown): ReachflowError {
  if (error instanceof ReachflowError) return error;
  if (!(error instanceof ClickHouseError) || !SETTINGS_CODES.has(error.code)) {
    return unavailable(error);
  }
  return new ReachflowError(`cannot use ClickHouse: ${quote(error.message)} (${error.code})`, {
    code: 'CLICKHOUSE_SETTINGS',
    domain: 'user',
    hint: 'Correct clickhouse.username, clickhouse.password, or the rights of that user.',
    cause: error,
  });
}
