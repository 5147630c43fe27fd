import type { TopologyBuilder } from '../../runtime/topology/api.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import type { Topology } from '../../runtime/topology/graph.ts';
import { tumbling } from '../../runtime/topology/windows.ts';
import { pipelinesConfigSchema, type ThrottleConfig } from '../config.ts';
import { webhookFaults } from '../webhook-faults.ts';
import { abandonedImportAlert, createBurstAlert } from './steps/alert.ts';
import {
  ABANDONED_AFTER_MS,
  abandonedImport,
  burst,
  QUALITY_FAILURES,
  QUALITY_WITHIN_MS,
  SUSPICIOUS_CALLS,
  SUSPICIOUS_WITHIN_MS,
} from './steps/patterns.ts';
import { createThrottle } from './steps/throttle.ts';

/** Ingestors write at the same time: how far their clocks and batches may be apart. */
const DISORDER_MS = 5_000;
const CALLS_WINDOW_MS = 1_000;
const FAILURES_WINDOW_MS = 5_000;

/** What a tenant did in a second. */
interface Activity {
  readonly calls: number;
  readonly failures: number;
}

/**
 * Imports that were begun and not finished, tenants that call too often or send too much that is not valid → alerts.
 * At most one of a pattern and subject in the pattern's time.
 */
export function createAlertsPipeline(throttle: ThrottleConfig): Topology {
  return defineTopology('alerts', (t) => declareAlerts(t, throttle));
}

function declareAlerts(t: TopologyBuilder, throttle: ThrottleConfig): void {
  t.stream('file.import.changed', {
    name: 'imports',
    timestamp: ({ updated_at }) => updated_at,
    disorderMs: DISORDER_MS,
  })
    .match('abandoned-import', abandonedImport)
    .map('to-import-alert', abandonedImportAlert)
    .dedup('import-alert-once', { id: ({ subject }) => subject, ttlMs: ABANDONED_AFTER_MS })
    .to('alert.raised', { key: ({ subject }) => subject });

  const seconds = t
    .stream('webhook.received', {
      name: 'calls',
      timestamp: ({ received_at }) => received_at,
      disorderMs: DISORDER_MS,
    })
    .map('judge', (webhook, { source }) => ({
      tenant: webhook.tenant_id,
      failures: webhookFaults(webhook, source.record.timestamp).length > 0 ? 1 : 0,
    }))
    .groupBy(({ tenant }) => tenant)
    .window(tumbling({ sizeMs: CALLS_WINDOW_MS }))
    .aggregate<Activity>(
      'activity',
      {
        init: () => ({ calls: 0, failures: 0 }),
        add: ({ calls, failures }, call) => ({
          calls: calls + 1,
          failures: failures + call.failures,
        }),
        merge: (a, b) => ({ calls: a.calls + b.calls, failures: a.failures + b.failures }),
      },
      { emit: 'close' },
    );
  seconds.late().ignore('a call that comes late was answered: it is no sign of a burst now');

  const bursts = seconds
    .map('calls-of-second', ({ value, ...window }) => ({ ...window, value: value.calls }))
    .match('suspicious-activity', burst(SUSPICIOUS_CALLS, SUSPICIOUS_WITHIN_MS))
    .map(
      'to-activity-alert',
      createBurstAlert({
        pattern: 'suspicious_activity',
        severity: 'critical',
        what: 'API calls',
      }),
    )
    .dedup('activity-alert-once', { id: ({ subject }) => subject, ttlMs: SUSPICIOUS_WITHIN_MS });
  bursts.to('alert.raised', { key: ({ tenant_id }) => tenant_id });
  bursts
    .map('to-throttle', createThrottle(throttle))
    .to('tenant.throttled', { key: ({ tenant_id }) => tenant_id });

  seconds
    .filter('failing', ({ value }) => value.failures > 0)
    .groupByKey()
    .window(tumbling({ sizeMs: FAILURES_WINDOW_MS }))
    .aggregate<number>(
      'failures',
      { init: () => 0, add: (total, { value }) => total + value.failures },
      { emit: 'close' },
    )
    .match('data-quality-issue', burst(QUALITY_FAILURES, QUALITY_WITHIN_MS))
    .map(
      'to-quality-alert',
      createBurstAlert({
        pattern: 'data_quality_issue',
        severity: 'warning',
        what: 'validation failures',
      }),
    )
    .dedup('quality-alert-once', { id: ({ subject }) => subject, ttlMs: QUALITY_WITHIN_MS })
    .to('alert.raised', { key: ({ tenant_id }) => tenant_id });
}

/** As it is by default. */
export const alertsPipeline = createAlertsPipeline(pipelinesConfigSchema.parse({}).throttle);
