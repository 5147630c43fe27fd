import { afterEach, describe, expect, it } from 'vitest';
import { VERSION_HEADER } from '../../runtime/delivery/decode.ts';
import { CRASH_POINTS } from '../../runtime/testing/memory-log.ts';
import { contact } from '../../runtime/testing/samples.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type {
  Contact,
  EnrichmentCompleted,
  EventRecorded,
  WebhookReceived,
} from '../../schemas/types.ts';
import { API_CALL } from './steps/latency.ts';
import { GRACE_MS, LATENCY_GRACE_MS, metricsPipeline } from './topology.ts';

const NOW = Date.UTC(2026, 0, 1, 12);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let driver: TopologyTestDriver;
afterEach(() => driver.close());

async function open(): Promise<void> {
  driver = await TopologyTestDriver.open(metricsPipeline, { startMs: NOW });
}

/** The newest row of each tenant and window. */
function rows<T extends { tenant_id: string; window_start: number; version: bigint }>(
  values: readonly (T | null)[],
): T[] {
  const newest = new Map<string, T>();
  for (const value of values) {
    if (value === null) continue;
    const id = `${value.tenant_id} ${value.window_start}`;
    const known = newest.get(id);
    if (known !== undefined) expect(value.version).toBeGreaterThan(known.version);
    newest.set(id, value);
  }
  return [...newest].sort(([a], [b]) => a.localeCompare(b)).map(([, row]) => row);
}

function contactOf(id: string, version: bigint, tenant_id = 't'): Contact {
  return contact({ id, version, tenant_id, created_at: 0, updated_at: 0 });
}

const pipeContact = (value: Contact, timestamp: number) =>
  driver.pipe('contact.golden', value.id, value, { timestamp });

describe('contact_velocity', () => {
  it('counts what was created, updated and deleted, each version once', async () => {
    await open();
    await pipeContact(contactOf('1', 1n), NOW);
    await pipeContact(contactOf('1', 2n), NOW + 1);
    await pipeContact(contactOf('1', 2n), NOW + 2);
    await driver.crash();
    await pipeContact(contactOf('1', 1n), NOW + 3);
    await pipeContact(contactOf('2', 1n, 'u'), NOW + 4);
    await pipeContact(contactOf('3', 1n), NOW + MINUTE);
    const headers = { [VERSION_HEADER]: '3' };
    for (let i = 0; i < 2; i += 1) {
      await driver.pipeTombstone('contact.golden', '1', { timestamp: NOW + MINUTE + 1, headers });
    }
    await pipeContact(contactOf('1', 4n), NOW + MINUTE + 2);
    // Of the first minute, late.
    await pipeContact(contactOf('4', 1n), NOW + 5);
    const counts = { window_end: NOW + MINUTE, version: 3n };
    expect(rows(driver.readValues('metric.contact.velocity'))).toEqual([
      {
        tenant_id: 't',
        window_start: NOW,
        ...counts,
        created: 2,
        updated: 1,
        deleted: 0,
        count: 3,
      },
      {
        ...{ tenant_id: 't', window_start: NOW + MINUTE, window_end: NOW + 2 * MINUTE },
        ...{ created: 2, updated: 0, deleted: 1, count: 2, version: 3n },
      },
      {
        ...{ tenant_id: 'u', window_start: NOW, window_end: NOW + MINUTE },
        ...{ created: 1, updated: 0, deleted: 0, count: 1, version: 1n },
      },
    ]);
  });
});

function enriched(outcome: string, at: number, cached = false): EnrichmentCompleted {
  const duration_ms = cached ? 0 : 40;
  const of = { tenant_id: 't', contact_id: 'c', provider: 'company' };
  return { ...of, outcome, cached, duration_ms, completed_at: at };
}

describe('enrichment_rate', () => {
  it('is what was found of what was asked, by the hour', async () => {
    await open();
    const outcomes = ['found', 'found', 'not_found', 'failed'];
    for (const [i, outcome] of outcomes.entries()) {
      await driver.pipe('enrichment.completed', 'c', enriched(outcome, NOW + i, i === 1));
    }
    await driver.pipe('enrichment.completed', 'c', enriched('found', NOW + HOUR));
    await driver.pipe('enrichment.completed', 'c', enriched('found', NOW + 9));
    expect(rows(driver.readValues('metric.enrichment.rate'))).toEqual([
      {
        ...{ tenant_id: 't', window_start: NOW, window_end: NOW + HOUR, rate: 0.6, version: 5n },
        ...{ total: 5, found: 3, not_found: 1, failed: 1, cached: 1 },
      },
      expect.objectContaining({ window_start: NOW + HOUR, total: 1, rate: 1 }),
    ]);
  });
});

let events = 0;
function event(payload: unknown, at: number, type = API_CALL): EventRecorded {
  events += 1;
  return {
    event_id: `e${events}`,
    tenant_id: 't',
    source: 'webhook:api',
    event_type: type,
    entity_id: 'x',
    occurred_at: at,
    received_at: at,
    payload: JSON.stringify(payload),
  };
}

const pipeEvent = (value: EventRecorded) =>
  driver.pipe('event.recorded', 't:x', value, { timestamp: value.occurred_at });

describe('api_latency', () => {
  it('has quantiles of the calls of a minute, late ones too', async () => {
    await open();
    for (let ms = 1; ms <= 100; ms += 1) await pipeEvent(event({ duration_ms: ms }, NOW));
    await driver.crash();
    await pipeEvent(event({ duration_ms: 1 }, NOW + 10 * MINUTE));
    await pipeEvent(event({ duration_ms: 0 }, NOW + 1));
    const [first] = rows(driver.readValues('metric.api.latency'));
    expect(first).toMatchObject({ window_start: NOW, count: 101, zeros: 1, version: 101n });
    expect(first?.bin_counts.reduce((sum, count) => sum + count, 0)).toBe(100);
    for (const [quantile, wanted] of [
      [first?.p50, 50],
      [first?.p95, 95],
      [first?.p99, 99],
    ] as const)
      expect(Math.abs((quantile ?? 0) / wanted - 1)).toBeLessThanOrEqual(0.01 + 1e-9);
  });

  it('counts no event that is no call, or whose duration is none', async () => {
    await open();
    await pipeEvent(event({ duration_ms: 5 }, NOW, 'phone.call'));
    const broken = [{}, [], null, 'x', { duration_ms: '5' }, { duration_ms: -1 }];
    for (const payload of broken) await pipeEvent(event(payload, NOW));
    await pipeEvent(event({ duration_ms: 86_400_001 }, NOW));
    expect(driver.readValues('metric.api.latency')).toEqual([]);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('leaves calls that come after the grace to the DLQ', async () => {
    await open();
    await pipeEvent(event({ duration_ms: 5 }, NOW + LATENCY_GRACE_MS + MINUTE));
    await pipeEvent(event({ duration_ms: 5 }, NOW - 1));
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['LATE']);
  });
});

function webhook(id: string, at: number, change: Partial<WebhookReceived> = {}) {
  const value: WebhookReceived = {
    event_id: `gh:${id}`,
    tenant_id: 't',
    source: 'gh',
    event_type: 'push',
    delivery_id: id,
    entity_id: 'repo',
    occurred_at: null,
    received_at: at,
    payload: '{}',
    ...change,
  };
  return driver.pipe('webhook.received', 't:repo', value, { timestamp: at });
}

describe('error_rate', () => {
  it('is what validation rejected of what came, each webhook once, repeats in no window', async () => {
    await open();
    await webhook('1', NOW);
    await webhook('2', NOW + 1, { payload: '{' });
    await driver.crash();
    await webhook('2', NOW + 2, { payload: '{' });
    await webhook('1', NOW + 6 * MINUTE);
    await webhook('3', NOW + 6 * MINUTE, { occurred_at: NOW + HOUR });
    await webhook('4', NOW + 3);
    await webhook('5', NOW + 4);
    expect(rows(driver.readValues('metric.error.rate'))).toEqual([
      {
        ...{ tenant_id: 't', window_start: NOW, window_end: NOW + 5 * MINUTE },
        ...{ total: 4, errors: 1, rate: 0.25, version: 4n },
      },
      expect.objectContaining({ window_start: NOW + 5 * MINUTE, total: 1, errors: 1, rate: 1 }),
    ]);
  });

  it('is corrected for a week', async () => {
    await open();
    await webhook('1', NOW);
    await webhook('2', NOW + GRACE_MS);
    await webhook('3', NOW + 1);
    await webhook('4', NOW + GRACE_MS + 5 * MINUTE);
    await webhook('5', NOW + 2);
    expect(rows(driver.readValues('metric.error.rate'))[0]).toMatchObject({ total: 2 });
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['LATE']);
  });
});

describe('a process that is killed', () => {
  async function metrics(crash?: (killed: TopologyTestDriver) => void): Promise<unknown> {
    await open();
    crash?.(driver);
    for (let i = 0; i < 5; i += 1) {
      await webhook(String(i % 4), NOW + i * MINUTE, i === 2 ? { payload: '{' } : {});
      await pipeContact(contactOf('1', BigInt(i + 1)), NOW + i * MINUTE);
      const call = event({ duration_ms: 10 * i }, NOW + (i % 2) * MINUTE);
      await pipeEvent({ ...call, event_id: String(i) });
      await driver.pipe('enrichment.completed', 'c', enriched('found', NOW + i));
    }
    const found = [
      rows(driver.readValues('metric.contact.velocity')),
      rows(driver.readValues('metric.enrichment.rate')),
      rows(driver.readValues('metric.api.latency')),
      rows(driver.readValues('metric.error.rate')),
    ];
    await driver.close();
    return found;
  }

  it.each(CRASH_POINTS)('%s: the same numbers come of it', async (point) => {
    const expected = await metrics();
    for (const nth of [1, 3, 8]) {
      expect(await metrics((killed) => killed.crashAt(point, nth))).toEqual(expected);
    }
    await open();
  });
});
