import { type KeyValueStore, keyValueStore, type Serde } from '../state/contract.ts';
import type { Operator, OperatorFactory } from '../topology/operator.ts';
import { derive, type StreamRecord } from '../topology/record.ts';
import type { AnyAggregator } from './aggregator.ts';

export function aggregateStore(name: string, serde: Serde<unknown>) {
  return keyValueStore<unknown>(name, serde);
}

/**
 * One aggregate per key since the beginning, emitted once per epoch in which it changed.
 * @param input values, or the partial aggregates of `combineOperator`.
 */
export function aggregateOperator(
  spec: ReturnType<typeof aggregateStore>,
  aggregator: AnyAggregator,
  input: 'values' | 'partials',
): OperatorFactory {
  return (context): Operator => {
    const store: KeyValueStore<unknown> = context.store(spec);
    const changed = new Map<string, StreamRecord>();
    return {
      process(record) {
        const { key, value } = record;
        const before = store.get(key);
        if (input === 'values') {
          store.set(key, aggregator.add(before ?? aggregator.init(), value, key));
        } else {
          store.set(key, before === undefined ? value : aggregator.merge?.(before, value));
        }
        changed.set(key, record);
      },
      endEpoch() {
        for (const [key, record] of changed) context.forward(derive(record, store.get(key)));
        changed.clear();
      },
    };
  };
}
