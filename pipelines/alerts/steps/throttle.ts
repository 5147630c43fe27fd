import type { AlertRaised, TenantThrottled } from '../../../schemas/types.ts';
import type { ThrottleConfig } from '../../config.ts';

/** Makes throttles of alerts: by event time, so that a replay of old alerts holds nobody back. */
export function createThrottle({ eventsPerMinute, seconds }: ThrottleConfig) {
  return ({ tenant_id, alert_id, raised_at, summary }: AlertRaised): TenantThrottled => ({
    tenant_id,
    limit_per_minute: eventsPerMinute,
    until: raised_at + seconds * 1_000,
    reason: summary,
    alert_id,
    throttled_at: raised_at,
  });
}
