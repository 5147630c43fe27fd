import { invalid } from '../../../runtime/operators/validation.ts';
import { dlq, drop, type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import { readEnvelope } from '../../../schemas/envelope.ts';
import type { CdcPublicContactsEnvelope, CdcPublicContactsValue } from '../../../schemas/types.ts';
import type { ContactChange } from './enrich.ts';
import { validateContact } from './validate.ts';

/** A change of the contacts table, not judged yet. */
export interface RowChange {
  /** One for each change of a row, however often it is read. */
  readonly eventId: string;
  readonly id: string;
  readonly lsn: bigint;
  readonly isSnapshot: boolean;
  /** Null: deleted. */
  readonly row: CdcPublicContactsValue | null;
}

export function readContactChange(envelope: CdcPublicContactsEnvelope): Outcome<RowChange> {
  const change = readEnvelope(envelope);
  if (change === undefined) return drop('no row change');
  if (change.kind === 'refused') return dlq(change.error);
  const row = change.after ?? change.before;
  if (row === null) return drop('no row');
  const id = String(row.id);
  const { version: lsn, op, after, isSnapshot } = change;
  return ok({ eventId: `${id}:${lsn}:${op}`, id, lsn, isSnapshot, row: after });
}

export function judgeChange(change: RowChange): Outcome<ContactChange> {
  const { id, lsn, row, isSnapshot } = change;
  if (row === null) return ok({ kind: 'remove', id, lsn });
  const validated = validateContact(row);
  if ('reasons' in validated) return invalid(`contact ${id}`, validated.reasons, validated.tenant);
  return ok({ kind: 'upsert', contact: validated.contact, lsn, isSnapshot });
}
