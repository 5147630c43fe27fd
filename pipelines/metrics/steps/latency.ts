import type { DDSketch } from '@datadog/sketches-js';
import type { Aggregator, WindowResult } from '../../../runtime/topology/api.ts';
import { drop, type Outcome, ok } from '../../../runtime/topology/outcome.ts';
import type { ApiLatency, EventRecorded } from '../../../schemas/types.ts';
import {
  addToSketch,
  binsOf,
  emptySketch,
  MOST_MS,
  mergeSketches,
  quantileOf,
  sketchSerde,
} from './sketch.ts';

/** The type of events that are calls of a tenant's API: `{"duration_ms": 12.5, …}` is their payload. */
export const API_CALL = 'api.called';

/** One call. */
export interface ApiCall {
  readonly tenant: string;
  /** ms, from 0 to a day. */
  readonly durationMs: number;
}

/**
 * The API call that an event tells of: its payload's `duration_ms`, a number of ms from 0 to a day. One without it is
 * dropped, and counted as that: the event itself is valid, and kept.
 */
export function readApiCall({ tenant_id, payload }: EventRecorded): Outcome<ApiCall> {
  const body: unknown = JSON.parse(payload);
  const durationMs =
    typeof body === 'object' && body !== null && 'duration_ms' in body
      ? body.duration_ms
      : undefined;
  if (typeof durationMs !== 'number') return drop('no duration_ms');
  if (!(durationMs >= 0 && durationMs <= MOST_MS)) return drop('duration_ms out of range');
  return ok({ tenant: tenant_id, durationMs });
}

/** Calls of a window as a sketch of their durations. */
export const latencies: Aggregator<ApiCall, DDSketch> = {
  init: emptySketch,
  add: (sketch, { durationMs }) => addToSketch(sketch, durationMs),
  merge: mergeSketches,
  serde: sketchSerde,
};

/** A window's row. Calls only come to it, so their number orders its versions. */
export function toApiLatency({ key, start, end, value }: WindowResult<DDSketch>): ApiLatency {
  const { zeros, bins, counts } = binsOf(value);
  return {
    tenant_id: key,
    window_start: start,
    window_end: end,
    count: value.count,
    p50: quantileOf(value, 0.5),
    p95: quantileOf(value, 0.95),
    p99: quantileOf(value, 0.99),
    zeros,
    bins: [...bins],
    bin_counts: [...counts],
    version: BigInt(value.count),
  };
}
