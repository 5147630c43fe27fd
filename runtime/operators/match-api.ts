import type { Serde } from '../state/contract.ts';

/** A match of a pattern, or what was matched of it when its time was over. */
export interface PatternMatch<V, N extends string> {
  readonly key: string;
  /** The events that each step took, in order; none for a step that was left out. */
  readonly events: Readonly<Record<N, readonly V[]>>;
  /** Event time of its first event, ms. */
  readonly start: number;
  /** Event time of its last event, or when its time was over, ms. */
  readonly end: number;
}

/** How events are kept, and how many. */
export interface MatchOptions<V> {
  /** Of the events, in state and through a repartition topic; structured clone by default. */
  readonly serde?: Serde<V>;
  /** Partial matches of one key; default 1,000. Beyond that the earliest go to `abandoned()`. */
  readonly maxPartialMatches?: number;
  /** Events in the partial matches of one key, one that several hold counted for each; default 50,000. */
  readonly maxEvents?: number;
  /** Events of one key that wait for the watermark; default 10,000. One more is dead-lettered, `PATTERN_BUFFER_FULL`. */
  readonly maxWaiting?: number;
}

export const MATCH_DEFAULTS = {
  maxPartialMatches: 1_000,
  maxEvents: 50_000,
  maxWaiting: 10_000,
} as const;
