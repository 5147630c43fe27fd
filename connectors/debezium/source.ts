import { errorMessage, ReachflowError } from '../../runtime/errors.ts';

/** One thing that is wrong, and what to do about it: SQL, or a sentence. */
export interface SourceProblem {
  readonly problem: string;
  readonly fix: string;
}

/** How far a capture is behind its database, and what that holds. */
export interface CapturePosition {
  /** The slot, or for a binlog the connector. */
  readonly slot: string;
  /** What it must still confirm, bytes. */
  readonly lagBytes: number | undefined;
  /** Log that the database keeps for it, bytes. */
  readonly retainedBytes: number | undefined;
  readonly restartLsn: bigint | undefined;
  readonly confirmedFlushLsn: bigint | undefined;
  readonly isActive: boolean;
  /** What it must still read is gone: it can never go on. */
  readonly isLost: boolean;
}

/** What a kind of database does for one capture. Each call is a connection of its own. */
export interface CaptureSource {
  /**
   * Called before the connector is configured: makes the signalling table where it is missing and we may.
   * @param remembered positions that Connect has of this capture, which the database must still have.
   * @throws ReachflowError `CDC_SOURCE_NOT_READY` naming every problem, with the SQL to run as its hint;
   *   `CDC_SLOT_LOST` when the remembered position is gone; `CDC_SOURCE_REFUSED` when the database does not let us in;
   *   `CDC_SOURCE_UNAVAILABLE` (retry: backoff).
   */
  check(remembered: readonly Readonly<Record<string, unknown>>[]): Promise<void>;
  /** Writes one signal. @throws ReachflowError as `check`, and `CDC_SIGNAL_TABLE` where there is no such table. */
  signal(id: string, type: string, data: string): Promise<void>;
  /** Undefined where the database keeps none. */
  position(): Promise<CapturePosition | undefined>;
  /** Frees what the database keeps for the capture. @throws ReachflowError `CDC_TIMEOUT` while it is in use. */
  release(timeoutMs: number): Promise<void>;
}

/** @throws ReachflowError `CDC_SOURCE_NOT_READY` unless there is none. */
export function refuseProblems(problems: readonly SourceProblem[]): void {
  if (problems.length === 0) return;
  const what = problems.map(({ problem }) => problem).join('; ');
  throw new ReachflowError(`the source database is not ready for change data capture: ${what}`, {
    code: 'CDC_SOURCE_NOT_READY',
    domain: 'user',
    hint: problems.map(({ fix }) => fix).join('\n'),
  });
}

/** The position of a capture is gone for good. @param why one clause. */
export function slotLost(why: string, connector: string): ReachflowError {
  return new ReachflowError(`${connector} cannot go on where it was: ${why}`, {
    code: 'CDC_SLOT_LOST',
    domain: 'external',
    hint: `Changes since then are not in the topics. Read every table again: \`reachflow connectors remove ${connector} --yes\`, then \`reachflow connectors apply ${connector}\`; docs/guides/change-data-capture.md says what becomes of deleted rows.`,
  });
}

/** SQL that makes the signalling table: Debezium's columns. */
export function signalTableSql(table: string): string {
  return `CREATE TABLE IF NOT EXISTS ${table} (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(4096));`;
}

/** There is no table to write signals to. */
export function noSignalTable(table: string | undefined): ReachflowError {
  return new ReachflowError(
    table === undefined
      ? 'this capture has no signalling table'
      : `the signalling table ${table} does not exist`,
    {
      code: 'CDC_SIGNAL_TABLE',
      domain: 'user',
      hint: 'Set debezium.signalTable, then `reachflow connectors apply`: it makes the table and tells the connector.',
    },
  );
}

/**
 * What connecting to a source, or asking it, failed with.
 * @param refused whether it said no, until somebody changes something: otherwise it is away.
 * @param check what to look at when it refused.
 */
export function sourceFailure(error: unknown, refused: boolean, check: string): ReachflowError {
  if (error instanceof ReachflowError) return error;
  return new ReachflowError(
    `the source database ${refused ? 'refused' : 'does not answer'}: ${errorMessage(error)}`,
    {
      code: refused ? 'CDC_SOURCE_REFUSED' : 'CDC_SOURCE_UNAVAILABLE',
      domain: refused ? 'user' : 'external',
      retry: refused ? 'none' : 'backoff',
      hint: refused ? `Check ${check}.` : 'Is it running, and is the source URL right?',
      cause: error,
    },
  );
}
