import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type {
  EventRecorded,
  TenantCount,
  TenantCountDelta,
  WebhookReceived,
} from '../../schemas/types.ts';
import { errorOf, ProcessorDriver } from '../../tests/support/processor-driver.ts';
import { ALLOWED_LATENESS_MS } from './steps/count-tenants.ts';
import { eventsPipeline } from './topology.ts';

const NOW = Date.UTC(2026, 0, 1, 12);

function driverOf(name: string): ProcessorDriver {
  const spec = eventsPipeline.processors.find((processor) => processor.name === name);
  if (spec === undefined) throw new Error(`no processor ${name}`);
  return new ProcessorDriver(spec);
}

function webhook(id: string, change: Partial<WebhookReceived> = {}): WebhookReceived {
  return {
    event_id: `gh:${id}`,
    tenant_id: 't',
    source: 'gh',
    event_type: 'push',
    delivery_id: id,
    entity_id: 'repo',
    occurred_at: null,
    received_at: NOW,
    payload: '{}',
    ...change,
  };
}

describe('webhooks', () => {
  it('records an event and counts it in its minute', () => {
    const driver = driverOf('webhooks');
    driver.process(webhook('1'), NOW);
    driver.process(webhook('2', { occurred_at: NOW - 61_000 }), NOW);
    driver.process(webhook('3'), NOW);
    driver.commit();
    const emitted = driver.take();
    const events = emitted.filter(({ topic }) => topic === 'event.recorded');
    expect(events.map(({ key, value }) => [key, (value as EventRecorded).source])).toEqual(
      Array.from({ length: 3 }, () => ['t:repo', 'webhook:gh']),
    );
    const deltas = emitted.filter(({ topic }) => topic === 'metric.tenant.count.delta');
    expect(deltas.map(({ value }) => value)).toEqual([
      { tenant_id: 't', window_start: NOW, delta: 2 },
      { tenant_id: 't', window_start: NOW - 120_000, delta: 1 },
    ]);
  });

  it('drops repeats, also after a restart, and what was not committed comes again', () => {
    const driver = driverOf('webhooks');
    driver.process(webhook('1'), NOW);
    driver.commit();
    driver.process(webhook('2'), NOW);
    driver.restart();
    expect(driver.process(webhook('1'), NOW)).toEqual({ kind: 'drop', reason: 'duplicate' });
    expect(driver.process(webhook('2'), NOW)).toEqual({ kind: 'ok' });
  });

  it('dead-letters with every reason, and does not remember the id', () => {
    const driver = driverOf('webhooks');
    const bad = webhook('1', { tenant_id: '', payload: '{', occurred_at: NOW + 3_600_000 });
    const error = errorOf(driver.process(bad, NOW));
    for (const reason of ['tenant_id', 'payload', 'future'])
      expect(error.message).toContain(reason);
    expect(driver.process(webhook('1'), NOW)).toEqual({ kind: 'ok' });
  });
});

describe('rows of the events table', () => {
  const envelope = (op: string, change: object = {}) => ({
    op,
    before: null,
    after: {
      id: 5,
      tenant_id: 't',
      contact_id: 9,
      kind: 'click',
      occurred_at: new Date(NOW).toISOString(),
      props: '{"a":1}',
      ...change,
    },
    source: { ts_ms: NOW, snapshot: null, table: 'events', lsn: 1n },
    ts_ms: NOW,
  });

  it('records an insert once, whether read by a snapshot or from the log', () => {
    const driver = driverOf('rows');
    const outcomes = ['r', 'c', 'u'].map((op) => driver.process(envelope(op), NOW).kind);
    expect(outcomes).toEqual(['ok', 'drop', 'drop']);
    expect(driver.take()[0]?.value).toMatchObject({
      event_id: 'cdc:events:5',
      source: 'cdc:events',
      entity_id: '9',
      occurred_at: NOW,
    });
  });

  it('dead-letters an empty kind and a time in the future', () => {
    const driver = driverOf('rows');
    const bad = { kind: ' ', occurred_at: new Date(NOW + 3_600_000).toISOString() };
    const error = errorOf(driver.process(envelope('c', bad), NOW));
    expect(error.message).toMatch(/kind.*future/);
  });
});

describe('tenant counts', () => {
  const delta = (start: number, by: number, tenant = 't'): TenantCountDelta => ({
    tenant_id: tenant,
    window_start: start,
    delta: by,
  });
  const counts = (driver: ProcessorDriver) =>
    driver.take().map(({ value }) => value as TenantCount);

  it('sums per tenant and window whatever the epochs and restarts, versions growing', () => {
    const step = fc.record({
      tenant: fc.constantFrom('a', 'b'),
      minute: fc.nat(3),
      by: fc.integer({ min: 1, max: 9 }),
      next: fc.constantFrom('go on', 'commit', 'commit and restart'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const driver = driverOf('tenant-counts');
        const expected = new Map<string, number>();
        const latest = new Map<string, TenantCount>();
        const collect = () => {
          driver.commit();
          for (const count of counts(driver)) {
            const key = `${count.tenant_id}/${count.window_start}`;
            expect(count.version).toBeGreaterThan(latest.get(key)?.version ?? 0n);
            latest.set(key, count);
          }
        };
        for (const { tenant, minute, by, next } of steps) {
          const start = NOW + minute * 60_000;
          driver.process(delta(start, by, tenant));
          expected.set(`${tenant}/${start}`, (expected.get(`${tenant}/${start}`) ?? 0) + by);
          if (next !== 'go on') collect();
          if (next === 'commit and restart') driver.restart();
        }
        collect();
        expect(new Map([...latest].map(([key, { count }]) => [key, count]))).toEqual(expected);
      }),
    );
  });

  it('emits a window once per epoch, with its end', () => {
    const driver = driverOf('tenant-counts');
    driver.process(delta(NOW, 2));
    driver.process(delta(NOW, 3));
    driver.commit();
    expect(counts(driver)).toEqual([
      { tenant_id: 't', window_start: NOW, window_end: NOW + 60_000, count: 5, version: 2n },
    ]);
  });

  it('closes old windows and dead-letters what comes for them, also after a restart', () => {
    const driver = driverOf('tenant-counts');
    driver.process(delta(NOW, 1));
    driver.process(delta(NOW + ALLOWED_LATENESS_MS + 60_000, 1));
    driver.commit();
    driver.restart();
    expect(errorOf(driver.process(delta(NOW, 1))).message).toContain('closed');
  });
});
