import { dlq, drop, type Outcome } from '../../../runtime/topology/outcome.ts';
import { readEnvelope } from '../../../schemas/envelope.ts';
import type { CdcPublicEventsEnvelope, EventRecorded } from '../../../schemas/types.ts';
import { validateEventRow } from './validate.ts';

/** When the event of a row occurred, ms; NaN where the row does not say. */
export function rowTime({ after }: CdcPublicEventsEnvelope): number {
  return after?.occurred_at == null ? Number.NaN : Date.parse(after.occurred_at);
}

/** Inserted rows as events; updates and deletes change no fact. @param now when the record was written, ms. */
export function readEventRow(
  envelope: CdcPublicEventsEnvelope,
  now: number,
): Outcome<EventRecorded> {
  const change = readEnvelope(envelope);
  if (change === undefined) return drop('no row change');
  if (change.kind === 'refused') return dlq(change.error);
  if (change.op !== 'c' && change.op !== 'r') return drop('no insert');
  return validateEventRow(change.after, now);
}
