import { pattern } from '../../../runtime/cep/pattern.ts';
import type { WindowResult } from '../../../runtime/topology/api.ts';
import type { FileImportChanged } from '../../../schemas/types.ts';

export const ABANDONED_AFTER_MS = 3_600_000;
export const SUSPICIOUS_CALLS = 100;
export const SUSPICIOUS_WITHIN_MS = 60_000;
export const QUALITY_FAILURES = 50;
export const QUALITY_WITHIN_MS = 300_000;

/** An import that began, and did not finish in time. */
export const abandonedImport = pattern<FileImportChanged>()
  .begin('started', ({ state }) => state === 'running')
  .notFollowedBy('finished', ({ state }) => state === 'finished')
  .within(ABANDONED_AFTER_MS);

/**
 * Counts of consecutive windows that come to `limit` together. Counted before the pattern: a partial match is a window,
 * not an event, so that a tenant costs the same at a hundred events a minute and at a million.
 */
export function burst(limit: number, withinMs: number) {
  return pattern<WindowResult<number>>()
    .begin('before', ({ value }, match) => sum(match.events('before')) + value < limit)
    .oneOrMore()
    .optional()
    .consecutive()
    .next('reached', ({ value }, match) => sum(match.events('before')) + value >= limit)
    .within(withinMs)
    .skipPastLast();
}

/** What the windows counted together. */
export function sum(counts: readonly WindowResult<number>[]): number {
  return counts.reduce((total, { value }) => total + value, 0);
}
