import type { KafkaRecord } from '../kafka/record.ts';

/** A partition of the consumer, as far as its lane steers it. */
export interface LaneSource {
  /** Stops fetching; what is fetched already may still come. */
  pause(): void;
  resume(): void;
  /** Reading goes on at `offset`. */
  seek(offset: bigint): void;
}

/** Records of one fetch. */
export interface Fetched {
  readonly records: readonly KafkaRecord[];
  /** Where the fetch began. */
  readonly from: bigint;
  /** Where reading goes on. */
  readonly next: bigint;
  /** Next offset on the broker. */
  readonly end: bigint;
}
