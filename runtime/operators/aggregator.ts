import { numberSerde, type Serde, structuredSerde } from '../state/contract.ts';
import type { Aggregator } from '../topology/api.ts';

/** An aggregator whatever its types are: operators do not look into aggregates. */
export interface AnyAggregator {
  init(): unknown;
  add(aggregate: unknown, value: unknown, key: string): unknown;
  merge: ((a: unknown, b: unknown) => unknown) | undefined;
  readonly serde: Serde<unknown>;
}

export function anyAggregator<V, A>(aggregator: Aggregator<V, A>): AnyAggregator {
  const { merge } = aggregator;
  return {
    init: () => aggregator.init(),
    add: (aggregate, value, key) => aggregator.add(aggregate as A, value as V, key),
    merge: merge === undefined ? undefined : (a, b) => merge.call(aggregator, a as A, b as A),
    serde: (aggregator.serde ?? structuredSerde()) as Serde<unknown>,
  };
}

export const counting: Aggregator<unknown, number> = {
  init: () => 0,
  add: (count) => count + 1,
  merge: (a, b) => a + b,
  serde: numberSerde,
};

/** An aggregate of values alone: undefined until the first. */
export function reducing<V>(reducer: (a: V, b: V) => V, serde?: Serde<V>): AnyAggregator {
  const combine = (a: unknown, b: unknown) => {
    if (a === undefined) return b;
    return b === undefined ? a : reducer(a as V, b as V);
  };
  return {
    init: () => undefined,
    add: combine,
    merge: combine,
    serde: (serde ?? structuredSerde()) as Serde<unknown>,
  };
}
