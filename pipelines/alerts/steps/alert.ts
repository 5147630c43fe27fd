import type { PatternMatch } from '../../../runtime/operators/match-api.ts';
import type { WindowResult } from '../../../runtime/topology/api.ts';
import type { AlertRaised, FileImportChanged } from '../../../schemas/types.ts';
import { ABANDONED_AFTER_MS, sum } from './patterns.ts';

function alertId(pattern: string, { key, start }: PatternMatch<unknown, string>): string {
  return `${pattern}:${key}:${start}`;
}

/** The alert of an import that did not finish. */
export function abandonedImportAlert(
  match: PatternMatch<FileImportChanged, 'started'>,
): AlertRaised {
  const file = match.events.started[0]?.file ?? match.key;
  return {
    alert_id: alertId('abandoned_import', match),
    pattern: 'abandoned_import',
    severity: 'warning',
    tenant_id: '',
    subject: match.key,
    started_at: match.start,
    raised_at: match.end,
    count: match.events.started.length,
    summary: `The import of ${file} began, and had not finished ${ABANDONED_AFTER_MS / 60_000} minutes later.`,
  };
}

interface Burst {
  readonly pattern: 'suspicious_activity' | 'data_quality_issue';
  readonly severity: 'critical' | 'warning';
  /** What was counted, for people. */
  readonly what: string;
}

/** Makes alerts of tenants with too many of something. */
export function createBurstAlert({ pattern, severity, what }: Burst) {
  return (match: PatternMatch<WindowResult<number>, 'before' | 'reached'>): AlertRaised => {
    const windows = [...match.events.before, ...match.events.reached];
    // A window's event is at its end.
    const start = windows[0]?.start ?? match.start;
    const count = sum(windows);
    const seconds = Math.round((match.end - start) / 1_000);
    return {
      alert_id: alertId(pattern, { ...match, start }),
      pattern,
      severity,
      tenant_id: match.key,
      subject: match.key,
      started_at: start,
      raised_at: match.end,
      count,
      summary: `Tenant ${match.key} had ${count} ${what} in ${seconds} s.`,
    };
  };
}
