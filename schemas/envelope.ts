import { ReachflowError } from '../runtime/errors.ts';

/** Debezium's change event as our reader schemas decode it, for rows of type R. */
export interface CdcEnvelope<R> {
  readonly before: R | null;
  readonly after: R | null;
  readonly source: {
    readonly ts_ms: number;
    readonly snapshot: string | null;
    readonly table: string | null;
    /** Postgres: of the change. A row that an incremental snapshot read has none. */
    readonly lsn: bigint | null;
    /** Postgres: LSNs of the last commit and of the last change before this record, as a JSON array of strings. */
    readonly sequence: string | null;
    /** MySQL and MariaDB: the binlog file, where the event begins in it, and which of its rows this is. */
    readonly file: string | null;
    readonly pos: number | null;
    readonly row: number | null;
  };
  readonly op: string;
  readonly ts_ms: number | null;
}

interface ChangeBase {
  readonly kind: 'change';
  readonly tableName: string;
  /**
   * The log's position: it grows with every change of a row, so it orders the versions of one. A row that a snapshot
   * read has that of the snapshot; a transaction that was open then may commit changes of a smaller one afterwards.
   */
  readonly version: bigint;
  /** Read by a snapshot, not from the log. */
  readonly isSnapshot: boolean;
  /** When the database committed it (for a snapshot: when it was read), ms since the epoch. */
  readonly tsMs: number;
}

/** A row as it is now (`c`reate, `u`pdate, `r`ead by a snapshot), or that it is no more (`d`elete). */
export type RowChange<R> = ChangeBase &
  (
    | { readonly op: 'c' | 'u' | 'r'; readonly before: R | null; readonly after: R }
    | {
        readonly op: 'd';
        /** The old row; only its key is sure to be right unless the table has REPLICA IDENTITY FULL. */
        readonly before: R | null;
        readonly after: null;
      }
  );

/** A change that cannot be applied as it is: the record belongs in the DLQ. */
export interface RefusedChange {
  readonly kind: 'refused';
  readonly error: ReachflowError;
}

/** What Debezium writes for a large value that an update left as it was and the log does not repeat (TOAST). */
export const UNAVAILABLE_VALUE = '__debezium_unavailable_value';

function refused(code: string, message: string, hint: string): RefusedChange {
  return {
    kind: 'refused',
    error: new ReachflowError(message, { code, domain: 'external', hint }),
  };
}

function isUnavailable(value: unknown): boolean {
  return Array.isArray(value) ? value.includes(UNAVAILABLE_VALUE) : value === UNAVAILABLE_VALUE;
}

function unavailableColumns(row: object): string[] {
  return Object.entries(row).flatMap(([column, value]) => (isUnavailable(value) ? [column] : []));
}

/** The new row with each value that the log did not repeat taken from the old one: it is unchanged, after all. */
function completed<R extends object>(after: R, before: R | null): R {
  const columns = before === null ? [] : unavailableColumns(after);
  if (before === null || columns.length === 0) return after;
  const old = Object.entries(before).filter(([column]) => columns.includes(column));
  return { ...after, ...Object.fromEntries(old) };
}

/** Bits of a binlog version for the row in its event, and the position of that in its file: 2^20 files are left. */
const ROW_BITS = 11n;
const POSITION_BITS = 32n;
const MAX_ROW = 2 ** Number(ROW_BITS) - 1;
const MAX_FILE = 2 ** 20 - 1;

/**
 * A binlog coordinate as one number that grows with the log: file, position of the event, row in the event (an event
 * with more rows counts the rest as one). Undefined where it has no file with a number, or one beyond a million.
 */
function binlogVersion({ file, pos, row }: CdcEnvelope<unknown>['source']): bigint | undefined {
  const number = Number(/\.(\d{1,9})$/.exec(file ?? '')?.[1] ?? Number.NaN);
  if (pos === null || !(number <= MAX_FILE) || pos >= 2 ** Number(POSITION_BITS)) return undefined;
  const inFile = (BigInt(pos) << ROW_BITS) | BigInt(Math.min(row ?? 0, MAX_ROW));
  return (BigInt(number) << (POSITION_BITS + ROW_BITS)) | inFile;
}

/** The last change that Debezium had read when an incremental snapshot emitted a row. */
function sequenceVersion(sequence: string | null): bigint | undefined {
  const last = /"(\d{1,19})"\]$/.exec(sequence ?? '')?.[1];
  return last === undefined ? undefined : BigInt(last);
}

function versionOf(source: CdcEnvelope<unknown>['source']): bigint | undefined {
  return source.lsn ?? sequenceVersion(source.sequence) ?? binlogVersion(source);
}

/**
 * What a decoded change event says of one row. Undefined when it says nothing of one: a tombstone (null), a
 * truncate (`t`) or a logical message (`m`). A new row never has `__debezium_unavailable_value` in it. Pure.
 */
export function readEnvelope<R extends object>(
  envelope: CdcEnvelope<R> | null,
): RowChange<R> | RefusedChange | undefined {
  if (envelope === null || envelope.op === 't' || envelope.op === 'm') return undefined;
  const { op, before, after, source } = envelope;
  const table = source.table ?? 'a table without a name';
  const version = versionOf(source);
  if (version === undefined) {
    return refused(
      'CDC_LSN_MISSING',
      `a change of ${table} has no position in a log, so its order is not known`,
      'Only changes that Debezium captured from Postgres, MySQL or MariaDB can be applied.',
    );
  }
  const base = {
    kind: 'change',
    tableName: table,
    version,
    isSnapshot: op === 'r' || (source.snapshot !== null && source.snapshot !== 'false'),
    tsMs: source.ts_ms,
  } as const;
  if (op === 'd') return { ...base, op, before, after: null };
  if ((op !== 'c' && op !== 'u' && op !== 'r') || after === null) {
    return refused(
      'CDC_ENVELOPE_INVALID',
      `a change of ${table} with op '${op}' ${after === null ? 'has no new row' : 'is not known'}`,
      'Was it written by Debezium, and without a transformation that flattens it?',
    );
  }
  const row = completed(after, before);
  const missing = unavailableColumns(row);
  if (missing.length > 0) {
    return refused(
      'CDC_VALUE_UNAVAILABLE',
      `a change of ${table} does not carry the unchanged large value of ${missing.join(', ')}`,
      `ALTER TABLE ${table} REPLICA IDENTITY FULL; -- then touch the row again`,
    );
  }
  return { ...base, op, before, after: row };
}
