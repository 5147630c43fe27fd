import type { OutgoingRecord } from '../kafka/record.ts';
import { DLQ_HEADER_PREFIX } from './dead-letter.ts';
import { VERSION_HEADER } from './decode.ts';

/** On a letter that is not its whole record: what is missing, `headers` or `value`. */
export const TRUNCATED_HEADER = `${DLQ_HEADER_PREFIX}truncated`;

/** What is kept of a value: enough for its schema id, and to recognize it. */
const KEPT_BYTES = 1_024;

/**
 * A letter that is larger than its DLQ takes, in smaller forms, to be tried in turn: without the record's own headers, and
 * with the beginning of its value only. Where the whole record is, its topic, partition and offset say.
 */
export function smallerLetters(letter: OutgoingRecord): OutgoingRecord[] {
  const kept = Object.entries(letter.headers ?? {}).filter(
    ([name]) => name.startsWith(DLQ_HEADER_PREFIX) || name === VERSION_HEADER,
  );
  const headers = Object.fromEntries(kept);
  const value = letter.value === null ? null : letter.value.subarray(0, KEPT_BYTES);
  return [
    { ...letter, headers: { ...headers, [TRUNCATED_HEADER]: 'headers' } },
    { ...letter, value, headers: { ...headers, [TRUNCATED_HEADER]: 'value' } },
  ];
}
