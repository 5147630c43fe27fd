import type { SinkRecord } from '../runtime/delivery/sink.ts';
import type { Contact } from '../schemas/types.ts';
import {
  type Encoded,
  invalidRecord,
  keyFault,
  malformedText,
  type TextFault,
  typedValue,
  valueFault,
} from './record.ts';

/** What a `contact.golden` record asks of a store: this state of the contact, or (null) its deletion. */
export type ContactChange = Contact | null;

/**
 * Checks a `contact.golden` record against its schema and against what no store keeps unaltered.
 * @param textFault what else this store cannot hold in a string.
 */
export function readContact(
  record: SinkRecord,
  textFault: TextFault = malformedText,
): Encoded<ContactChange> {
  const key = keyFault(record);
  if (key !== undefined) return { error: invalidRecord(record, key) };
  if (record.value === null) {
    const why = textFault(record.key);
    return why === undefined ? { row: null } : { error: invalidRecord(record, `its key ${why}`) };
  }
  const typed = typedValue('contact.golden', record);
  if (typed.error !== undefined) return typed;
  // A tombstone carries only the key: a row under another id could never be deleted, nor keep its order.
  if (typed.row.id !== record.key) {
    return { error: invalidRecord(record, `its id is not its key`) };
  }
  const why = valueFault(record.value, textFault);
  return why === undefined ? typed : { error: invalidRecord(record, why) };
}
