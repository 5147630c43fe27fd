import { ClickHouseError } from '@clickhouse/client';
import type { RecordResult } from '../../runtime/delivery/sink.ts';
import { errorCode, errorMessage, ReachflowError } from '../../runtime/errors.ts';
import { quote } from '../record.ts';

/**
 * Server error codes that speak of the rows sent; names as in `system.errors`. Rows come in a binary form with their
 * types, so what does not parse is a constraint of the table, or the expression of a view. All else speaks of the
 * server, the connection or our rights: 252 TOO_MANY_PARTS, 241 MEMORY_LIMIT_EXCEEDED and
 * 202 TOO_MANY_SIMULTANEOUS_QUERIES are load.
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
  ['128', 'TOO_LARGE_ARRAY_SIZE'],
  ['131', 'TOO_LARGE_STRING_SIZE'],
  ['321', 'VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE'],
  ['349', 'CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN'],
  ['407', 'DECIMAL_OVERFLOW'],
  ['467', 'CANNOT_PARSE_BOOL'],
  ['469', 'VIOLATED_CONSTRAINT'],
  ['632', 'UNEXPECTED_DATA_AFTER_PARSED_VALUE'],
]);

/** The table is no longer what it was when it was opened. */
const TABLE_CODES: ReadonlySet<string> = new Set([
  '16', // NO_SUCH_COLUMN_IN_TABLE
  '33', // CANNOT_READ_ALL_DATA
  '60', // UNKNOWN_TABLE
  '117', // INCORRECT_DATA: types of the header
]);

/** Fewer rows may pass. */
const SIZE_CODES: ReadonlySet<string> = new Set([
  '241', // MEMORY_LIMIT_EXCEEDED
  '396', // TOO_MANY_ROWS_OR_BYTES
]);

/** Of no use to try again before somebody changes settings. */
const SETTINGS_CODES: ReadonlySet<string> = new Set([
  '81', // UNKNOWN_DATABASE
  '164', // READONLY
  '192', // UNKNOWN_USER
  '193', // WRONG_PASSWORD
  '194', // REQUIRED_PASSWORD
  '291', // DATABASE_ACCESS_DENIED
  '452', // SETTING_CONSTRAINT_VIOLATION
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
  if (error instanceof ReachflowError) return { status: 'retry', of: 'store', error };
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

/** Does the error say that the table has other columns than the rows were encoded for? */
export function isTableChanged(error: unknown): boolean {
  return error instanceof ClickHouseError && TABLE_CODES.has(error.code);
}

/** Does the error say that there is a table of that name already (57 TABLE_ALREADY_EXISTS)? */
export function isTableThere(error: unknown): boolean {
  return error instanceof ClickHouseError && error.code === '57';
}

/** May the error be due to how much was sent at once? */
export function isTooLarge(error: unknown): boolean {
  return error instanceof ClickHouseError && SIZE_CODES.has(error.code);
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
    hint: 'Correct clickhouse.username, clickhouse.password, or the rights and setting constraints of that user.',
    cause: error,
  });
}
