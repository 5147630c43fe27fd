import type { SinkRecord } from '../runtime/delivery/sink.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { readerType } from '../schemas/avro.ts';
import type { TopicName, TopicValue } from '../schemas/topics.ts';

/** A record in a store's own form, or why it can never have one. */
export type Encoded<Row> =
  | { readonly row: Row; readonly error?: never }
  | { readonly row?: never; readonly error: ReachflowError };

/** The largest version that all stores can hold and compare: a signed 64-bit integer. */
const MAX_VERSION = 2n ** 63n - 1n;

/** Store messages are quoted up to here: some repeat the whole row. */
const QUOTE_LIMIT = 300;

/** The beginning of a store's message, for an error that a person reads. */
export function quote(text: string): string {
  return text.length > QUOTE_LIMIT ? `${text.slice(0, QUOTE_LIMIT)}…` : text;
}

/** The error of a record that does not even fit the store's form; nothing was sent. */
export function invalidRecord(record: SinkRecord, why: string): ReachflowError {
  return new ReachflowError(`${record.topic} record cannot be written: ${why}`, {
    code: 'INVALID_RECORD',
    domain: 'user',
    hint: 'Correct the record at its source; redriven as it is, it fails again.',
  });
}

/** Why the stores cannot order this record among the others of its key, if so. */
export function keyFault(record: SinkRecord): string | undefined {
  if (record.key === '') return 'its key is empty';
  if (record.version < 0n || record.version > MAX_VERSION) {
    return `version ${record.version} is no unsigned 63-bit integer`;
  }
  return undefined;
}

/**
 * Is the record's value one of the topic's reader schema? The schema file is the one definition: the
 * runner's decoder guarantees it already, here it gives the type and catches hand-made records.
 * @returns the typed value, or an `INVALID_RECORD` error naming each path that does not fit.
 */
export function typedValue<T extends TopicName>(
  topic: T,
  record: SinkRecord,
): Encoded<TopicValue<T>> {
  const wrong: string[] = [];
  const valid = readerType(topic).isValid(record.value, {
    errorHook: (path, _given, type) => {
      wrong.push(`${path.join('.')} is no ${type.toString()}`);
    },
  });
  if (valid) return { row: record.value as unknown as TopicValue<T> };
  return { error: invalidRecord(record, quote(wrong.join('; '))) };
}

/** A predicate on one string: what is wrong with it, if anything. */
export type TextFault = (text: string) => string | undefined;

/** A lone surrogate has no UTF-8 form: every client would silently replace it. */
export const malformedText: TextFault = (text) =>
  text.isWellFormed() ? undefined : 'holds half of a surrogate pair';

function fault(value: unknown, textFault: TextFault): string | undefined {
  if (typeof value === 'string') return textFault(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return `is ${value}`;
  return undefined;
}

/**
 * The first field that a store would alter on the way in: a string that `textFault` names, or a number that
 * JSON turns into null. Looks into arrays, not into nested records: no sink's topic has any.
 */
export function valueFault(
  value: Readonly<Record<string, unknown>>,
  textFault: TextFault,
): string | undefined {
  for (const [field, given] of Object.entries(value)) {
    const items: readonly unknown[] = Array.isArray(given) ? given : [given];
    for (const item of items) {
      const found = fault(item, textFault);
      if (found !== undefined) return `${field} ${found}`;
    }
  }
  return undefined;
}
