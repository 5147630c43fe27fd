import { ReachflowError } from '../errors.ts';
import { numberSerde, type TtlStore, ttlStore } from '../state/contract.ts';
import type { Operator, OperatorFactory } from '../topology/operator.ts';
import type { StreamRecord } from '../topology/record.ts';

/** The store of ids seen by a dedup step. */
export function dedupStore(name: string, ttlMs: number) {
  return ttlStore<number>(name, { ttlMs, serde: numberSerde });
}

/** Longest id, bytes of UTF-8: below what keys of a store may have (`MAX_KEY_BYTES`). */
const MAX_ID_BYTES = 1_000;

/** A UTF-16 unit takes three bytes of UTF-8 at most: only long ids are measured. */
function isTooLong(id: string): boolean {
  return id.length * 3 > MAX_ID_BYTES && Buffer.byteLength(id) > MAX_ID_BYTES;
}

function idTooLong(step: string, id: string): ReachflowError {
  const message = `${step}: an id has ${Buffer.byteLength(id)} bytes, more than ${MAX_ID_BYTES}: ${id.slice(0, 40)}…`;
  return new ReachflowError(message, {
    code: 'ID_TOO_LONG',
    domain: 'user',
    hint: 'Is it an id? If so, let the step take a hash of it.',
  });
}

/**
 * Passes the first record of each id within the TTL (event time); the others are dropped as `duplicate`, and one with
 * an id of more than 1,000 bytes is dead-lettered as `ID_TOO_LONG`.
 */
export function dedupOperator(
  spec: ReturnType<typeof dedupStore>,
  id: (value: never) => string,
  time: ((value: never, record: never) => number) | undefined,
): OperatorFactory {
  const idOf = id as (value: unknown) => string;
  const timeOf = time as ((value: unknown, record: StreamRecord) => number) | undefined;
  return (context): Operator => {
    const seen: TtlStore<number> = context.store(spec);
    // A redriven record that a later step gave up on was here before: the id may be its own.
    const hasPassed = ({ source: { failedStep } }: StreamRecord) =>
      failedStep !== undefined && context.leadsTo(failedStep);
    return {
      process(record) {
        const identity = idOf(record.value);
        const now = timeOf === undefined ? record.timestamp : timeOf(record.value, record);
        if (identity !== '') {
          if (isTooLong(identity))
            return context.deadLetter(record, idTooLong(context.name, identity));
          if (seen.has(identity, now) && !hasPassed(record))
            return context.drop(record, 'duplicate');
          seen.set(identity, 1, now);
        }
        context.forward(record);
      },
    };
  };
}
