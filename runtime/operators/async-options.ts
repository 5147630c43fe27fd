import type { Serde } from '../state/contract.ts';

/** How an async step calls the outside world. */
export interface AsyncOptions<V, W> {
  /** Calls under way at once in a task; default 32. */
  readonly concurrency?: number;
  /** How long a call may take, ms; default 10 s. */
  readonly timeoutMs?: number;
  /** Further attempts when a call throws or times out; default 2. */
  readonly retries?: number;
  /** Before the first further attempt, ms, doubling, with jitter; default 200. */
  readonly backoffMs?: number;
  /** Opens when `failureRatio` of the calls of `windowMs` failed, for `openMs`; none by default. */
  readonly breaker?: {
    readonly failureRatio: number;
    readonly windowMs: number;
    readonly openMs: number;
    /** Fewer calls a second than this say nothing; default 1. */
    readonly minimumRps?: number;
  };
  /** Keeps results, so that a replay or a repeated request calls nobody. */
  readonly journal?: {
    /** Requests with the same id have the same answer. */
    readonly id: (value: V) => string;
    readonly ttlMs: number;
    readonly serde?: Serde<W>;
  };
  /** When all attempts have failed: `wait` (default) stands at the record and tries again, `dlq` dead-letters it. */
  readonly onFailure?: 'wait' | 'dlq';
}
