import type { SinkRecord } from '../../runtime/delivery/sink.ts';
import { readContact } from '../contact.ts';
import { type Encoded, invalidRecord } from '../record.ts';

/** One operation of a bulk request. */
export interface Operation {
  /** The action and, unless it is a delete, the document on a second line; without a final newline. */
  readonly lines: string;
  /** UTF-8 bytes of the lines. */
  readonly bytes: number;
}

/** Elasticsearch's limit on `_id`, bytes; one longer fails its whole bulk request. */
const MAX_ID_BYTES = 512;

/**
 * A `contact.golden` record as a bulk operation under an external version. Versions are written as digits:
 * beyond 2^53 a JavaScript number would not be exact.
 */
export function encodeContact(record: SinkRecord): Encoded<Operation> {
  const contact = readContact(record);
  if (contact.error !== undefined) return contact;
  const { key, version } = record;
  if (Buffer.byteLength(key) > MAX_ID_BYTES) {
    return { error: invalidRecord(record, `its key has more than ${MAX_ID_BYTES} bytes`) };
  }
  const action = contact.row === null ? 'delete' : 'index';
  const target = `{"${action}":{"_id":${JSON.stringify(key)},"version":${version},"version_type":"external"}}`;
  if (contact.row === null) return { row: { lines: target, bytes: Buffer.byteLength(target) } };
  const { version: _own, ...fields } = contact.row;
  const lines = `${target}\n${JSON.stringify(fields).slice(0, -1)},"version":${version}}`;
  return { row: { lines, bytes: Buffer.byteLength(lines) } };
}
