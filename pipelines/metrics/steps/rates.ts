import { jsonSerde } from '../../../runtime/state/contract.ts';
import type { Aggregator, WindowResult } from '../../../runtime/topology/api.ts';
import type { EnrichmentCompleted, EnrichmentRate, ErrorRate } from '../../../schemas/types.ts';

/** Webhooks of a window. */
export interface Received {
  readonly total: number;
  readonly errors: number;
}

/** Counts webhooks, and those that validation rejected. */
export const receipts: Aggregator<{ readonly rejected: boolean }, Received> = {
  init: () => ({ total: 0, errors: 0 }),
  add: ({ total, errors }, { rejected }) => ({
    total: total + 1,
    errors: errors + (rejected ? 1 : 0),
  }),
  merge: (a, b) => ({ total: a.total + b.total, errors: a.errors + b.errors }),
  serde: jsonSerde(),
};

/** A window's row. Webhooks only come to it, so their number orders its versions. */
export function toErrorRate({ key, start, end, value }: WindowResult<Received>): ErrorRate {
  return {
    tenant_id: key,
    window_start: start,
    window_end: end,
    ...value,
    rate: value.errors / value.total,
    version: BigInt(value.total),
  };
}

/** Enrichments of a window. */
export interface Enriched {
  readonly total: number;
  readonly found: number;
  readonly not_found: number;
  readonly failed: number;
  readonly cached: number;
}

const one = (is: boolean): number => (is ? 1 : 0);

/** Counts enrichments by what came of them. */
export const enrichments: Aggregator<EnrichmentCompleted, Enriched> = {
  init: () => ({ total: 0, found: 0, not_found: 0, failed: 0, cached: 0 }),
  add: (counts, { outcome, cached }) => ({
    total: counts.total + 1,
    found: counts.found + one(outcome === 'found'),
    not_found: counts.not_found + one(outcome === 'not_found'),
    failed: counts.failed + one(outcome === 'failed'),
    cached: counts.cached + one(cached),
  }),
  merge: (a, b) => ({
    total: a.total + b.total,
    found: a.found + b.found,
    not_found: a.not_found + b.not_found,
    failed: a.failed + b.failed,
    cached: a.cached + b.cached,
  }),
  serde: jsonSerde(),
};

/** A window's row. Enrichments only come to it, so their number orders its versions. */
export function toEnrichmentRate({
  key,
  start,
  end,
  value,
}: WindowResult<Enriched>): EnrichmentRate {
  return {
    tenant_id: key,
    window_start: start,
    window_end: end,
    ...value,
    rate: value.found / value.total,
    version: BigInt(value.total),
  };
}
