import { VERSION_HEADER } from '../../../runtime/delivery/decode.ts';
import type { ProcessSpec } from '../../../runtime/operators/process-api.ts';
import { dlq, drop, type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import { type CdcEnvelope, readEnvelope } from '../../../schemas/envelope.ts';

/** A change of a row of pgbench's. */
export interface LedgerChange<R> {
  /** One for each change, however often Debezium sends it. */
  readonly changeId: string;
  readonly id: string;
  readonly lsn: bigint;
  /** Null: deleted. */
  readonly row: R | null;
}

/** Reads an envelope. @param idOf the row's primary key. */
export function readChange<R extends object>(idOf: (row: R) => number) {
  return (envelope: CdcEnvelope<R>): Outcome<LedgerChange<R>> => {
    const change = readEnvelope(envelope);
    if (change === undefined) return drop('no row change');
    if (change.kind === 'refused') return dlq(change.error);
    const row = change.after ?? change.before;
    if (row === null) return drop('no row');
    const id = String(idOf(row));
    const { version: lsn, op, after } = change;
    return ok({ changeId: `${id}:${lsn}:${op}`, id, lsn, row: after });
  };
}

/** Emits the row as it is now under its id, or a tombstone with the deletion's version. */
export function emitRow<R, W>(
  toValue: (row: R, change: LedgerChange<R>) => W,
): ProcessSpec<LedgerChange<R>, W | null, Record<never, never>> {
  return {
    create: (context) => ({
      process(change) {
        const { id, lsn, row } = change;
        if (row !== null) context.forward(id, toValue(row, change));
        else context.forward(id, null, { headers: { [VERSION_HEADER]: String(lsn) } });
        return undefined;
      },
    }),
  };
}
