import { numberSerde, type TtlStore, ttlStore } from '../state/contract.ts';
import type { Operator, OperatorFactory } from '../topology/operator.ts';
import type { StreamRecord } from '../topology/record.ts';

/** The store of ids seen by a dedup step. */
export function dedupStore(name: string, ttlMs: number) {
  return ttlStore<number>(name, { ttlMs, serde: numberSerde });
}

/** Passes the first record of each id within the TTL (event time); the others are dropped as `duplicate`. */
export function dedupOperator(
  spec: ReturnType<typeof dedupStore>,
  id: (value: never) => string,
  time: ((value: never, record: never) => number) | undefined,
): OperatorFactory {
  const idOf = id as (value: unknown) => string;
  const timeOf = time as ((value: unknown, record: StreamRecord) => number) | undefined;
  return (context): Operator => {
    const seen: TtlStore<number> = context.store(spec);
    return {
      process(record) {
        const identity = idOf(record.value);
        const now = timeOf === undefined ? record.timestamp : timeOf(record.value, record);
        if (identity !== '') {
          if (seen.has(identity, now)) return context.drop(record, 'duplicate');
          seen.set(identity, 1, now);
        }
        context.forward(record);
      },
    };
  };
}
