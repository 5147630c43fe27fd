import type { Observation } from '../monitor.ts';

/** Input goes in; what went in is waited for; what came of it is compared. */
export type Phase = 'playing' | 'draining' | 'verifying';

/** Everything that the view shows at one moment. */
export interface Snapshot {
  readonly phase: Phase;
  readonly elapsedMs: number;
  /** When the input ends; undefined for never. */
  readonly durationMs: number | undefined;
  readonly seed: number;
  readonly webhooks: {
    readonly sent: number;
    readonly retries: number;
    readonly unanswered: number;
    readonly perSecond: number;
    /** HTTP status → answers. */
    readonly statuses: ReadonlyMap<number, number>;
  };
  readonly rows: {
    readonly insert: number;
    readonly update: number;
    readonly delete: number;
    readonly broken: number;
    readonly perSecond: number;
  };
  readonly latency: { readonly p50: number; readonly max: number } | undefined;
  readonly seen: Observation;
}
