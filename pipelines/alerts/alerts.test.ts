import { afterEach, describe, expect, it } from 'vitest';
import { CRASH_POINTS } from '../../runtime/testing/memory-log.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { FileImportChanged, WebhookReceived } from '../../schemas/types.ts';
import { alertsPipeline } from './topology.ts';

const NOW = Date.UTC(2026, 0, 1, 12);
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

let driver: TopologyTestDriver;
afterEach(() => driver.close());

async function open(): Promise<void> {
  driver = await TopologyTestDriver.open(alertsPipeline, { startMs: NOW });
}

function imported(id: string, state: string, at: number): FileImportChanged {
  return {
    import_id: id,
    source: 'file:people',
    file: `${id}.csv`,
    topic: 'file.row.received',
    state,
    started_at: NOW,
    updated_at: at,
    rows: 1,
    rejected: 0,
    file_bytes: 10,
  };
}

const pipeImport = (id: string, state: string, at: number) =>
  driver.pipe('file.import.changed', id, imported(id, state, at), { timestamp: at });

let calls = 0;

function call(tenant: string, at: number, change: Partial<WebhookReceived> = {}) {
  calls += 1;
  const value: WebhookReceived = {
    event_id: `gh:${calls}`,
    tenant_id: tenant,
    source: 'gh',
    event_type: 'push',
    delivery_id: String(calls),
    entity_id: 'repo',
    occurred_at: null,
    received_at: at,
    payload: '{}',
    ...change,
  };
  return { key: `${tenant}:repo`, value, timestamp: at };
}

/** So many calls of a tenant, evenly over a time. */
async function pipeCalls(
  tenant: string,
  count: number,
  from: number,
  overMs: number,
  change: Partial<WebhookReceived> = {},
): Promise<void> {
  const all = Array.from({ length: count }, (_, i) =>
    call(tenant, from + Math.floor((i * overMs) / count), change),
  );
  await driver.pipeAll('webhook.received', all);
}

const raised = () => driver.readValues('alert.raised');

describe('an import that is not finished within the hour', () => {
  it('raises an alert, once; one that is finished raises none', async () => {
    await open();
    await pipeImport('lost', 'running', NOW);
    await pipeImport('done', 'running', NOW);
    await pipeImport('done', 'finished', NOW + 59 * MINUTE);
    await driver.crash();
    await driver.advanceWatermark(NOW + 60 * MINUTE - 1);
    expect(raised()).toEqual([]);
    await driver.advanceWatermark(NOW + 60 * MINUTE);
    expect(raised()).toEqual([
      {
        alert_id: `abandoned_import:lost:${NOW}`,
        pattern: 'abandoned_import',
        severity: 'warning',
        tenant_id: '',
        subject: 'lost',
        started_at: NOW,
        raised_at: NOW + 60 * MINUTE,
        count: 1,
        summary: 'The import of lost.csv began, and had not finished 60 minutes later.',
      },
    ]);
  });
});

describe('a tenant', () => {
  it('with 100 calls in a minute raises an alert; one with 99, or more slowly, raises none', async () => {
    await open();
    await pipeCalls('quick', 100, NOW, 50 * SECOND);
    await pipeCalls('less', 99, NOW, 50 * SECOND);
    await pipeCalls('slow', 100, NOW, 2 * MINUTE);
    await driver.advanceWatermark(NOW + 10 * MINUTE);
    expect(raised()).toEqual([
      expect.objectContaining({
        alert_id: `suspicious_activity:quick:${NOW}`,
        severity: 'critical',
        tenant_id: 'quick',
        count: 100,
        summary: 'Tenant quick had 100 API calls in 50 s.',
      }),
    ]);
  });

  it('with 100 calls in a minute is throttled; one that fails only, or calls less, is not', async () => {
    await open();
    await pipeCalls('quick', 100, NOW, 50 * SECOND);
    await pipeCalls('careless', 60, NOW, MINUTE, { payload: '{' });
    await driver.advanceWatermark(NOW + 10 * MINUTE);
    const [alert] = raised().filter((found) => found?.pattern === 'suspicious_activity');
    expect(driver.read('tenant.throttled')).toEqual([
      expect.objectContaining({
        key: 'quick',
        value: {
          tenant_id: 'quick',
          limit_per_minute: 60,
          until: (alert?.raised_at ?? 0) + 15 * MINUTE,
          reason: 'Tenant quick had 100 API calls in 50 s.',
          alert_id: `suspicious_activity:quick:${NOW}`,
          throttled_at: alert?.raised_at,
        },
      }),
    ]);
  });

  it('that goes on raises at most one a minute, crashes or none', async () => {
    await open();
    for (const minute of [0, 1, 2]) {
      await pipeCalls('busy', 1_000, NOW + minute * MINUTE, MINUTE);
      await driver.crash();
    }
    await driver.advanceWatermark(NOW + 10 * MINUTE);
    const alerts = raised();
    const ids = new Set(alerts.map((alert) => alert?.alert_id));
    expect(ids.size).toBe(alerts.length);
    expect(alerts.length).toBeGreaterThanOrEqual(2);
    expect(alerts.length).toBeLessThanOrEqual(3);
    const times = alerts.map((alert) => alert?.raised_at ?? 0);
    for (const [index, at] of times.entries())
      if (index > 0) expect(at - (times[index - 1] ?? 0)).toBeGreaterThanOrEqual(MINUTE);
  });

  it('with 50 failures of validation in five minutes raises an alert', async () => {
    await open();
    await pipeCalls('careless', 50, NOW, 4 * MINUTE, { payload: '{' });
    await pipeCalls('careful', 49, NOW, 4 * MINUTE, { payload: '{' });
    await driver.advanceWatermark(NOW + 20 * MINUTE);
    expect(raised()).toEqual([
      expect.objectContaining({ pattern: 'data_quality_issue', subject: 'careless', count: 50 }),
    ]);
  });
});

describe('a process that is killed', () => {
  async function alerts(crash?: (driver: TopologyTestDriver) => void): Promise<unknown[]> {
    await open();
    crash?.(driver);
    await pipeImport('lost', 'running', NOW);
    await pipeCalls('quick', 120, NOW, 30 * SECOND);
    await pipeCalls('careless', 60, NOW + 30 * SECOND, MINUTE, { payload: '{' });
    await driver.crash();
    await pipeCalls('slow', 30, NOW + 2 * MINUTE, MINUTE);
    await driver.advanceWatermark(NOW + 90 * MINUTE);
    const found = raised().map((alert) => alert?.alert_id);
    await driver.close();
    return found.sort();
  }

  it.each(CRASH_POINTS)('%s: the same alerts come of it, each once', async (point) => {
    const expected = await alerts();
    expect(expected).toEqual([
      `abandoned_import:lost:${NOW}`,
      `data_quality_issue:careless:${NOW + 30 * SECOND}`,
      `suspicious_activity:quick:${NOW}`,
    ]);
    for (const nth of [1, 4, 9]) {
      expect(await alerts((killed) => killed.crashAt(point, nth))).toEqual(expected);
    }
    await open();
  });
});
