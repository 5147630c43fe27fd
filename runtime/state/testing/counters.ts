import { keyValueStore } from '../key-value-store.ts';
import { numberSerde } from '../serde.ts';
import { ttlStore } from '../ttl-store.ts';

/** What the writer that is killed and its test share. */
export const COUNTERS = keyValueStore('counters', numberSerde);
export const KEYS = 400;

/** Epoch `e`, which is its event time, too, writes ten keys of `e % SEEN_KEYS`: newer copies of those of earlier epochs. */
export const SEEN = ttlStore('seen', { ttlMs: 200, graceMs: 0, serde: numberSerde });
export const SEEN_KEYS = 50;
/** Small, so that segments are made and dropped all the time. */
export const SEGMENT_ENTRIES = 100;

/** Value of a counter once `epoch` epochs are in the store: each epoch adds 1 to a third of them. */
export function counterAfter(index: number, epoch: number): number {
  let value = 0;
  for (let e = 1; e <= epoch; e += 1) if ((index + e) % 3 === 0) value += 1;
  return value;
}

/** The identity that writer and test share. */
export const WRITER_TASK = {
  namespace: 'test',
  pipeline: 'killed',
  subTopology: 'writer',
  partition: 0,
};
