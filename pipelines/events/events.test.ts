import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import type { CdcPublicEventsEnvelope, WebhookReceived } from '../../schemas/types.ts';
import { eventsPipeline, GRACE_MS, WINDOW_MS } from './topology.ts';

const NOW = Date.UTC(2026, 0, 1, 12);

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

let driver: TopologyTestDriver;
afterEach(() => driver.close());

async function open(partitions = 1): Promise<TopologyTestDriver> {
  driver = await TopologyTestDriver.open(eventsPipeline, { startMs: NOW, partitions });
  return driver;
}

const pipeAll = (webhooks: readonly WebhookReceived[]) =>
  driver.pipeAll(
    'webhook.received',
    webhooks.map((value) => ({ key: `${value.tenant_id}:${value.entity_id}`, value })),
  );
const pipe = (value: WebhookReceived) => pipeAll([value]);

describe('webhooks', () => {
  it('are recorded, and counted in their minute', async () => {
    await open();
    await pipeAll([webhook('1'), webhook('2', { occurred_at: NOW - 61_000 }), webhook('3')]);
    expect(driver.read('event.recorded').map(({ key, value }) => [key, value?.source])).toEqual(
      Array.from({ length: 3 }, () => ['t:repo', 'webhook:gh']),
    );
    const counts = driver.readValues('metric.tenant.count');
    expect(counts).toHaveLength(2);
    expect(counts).toEqual(
      expect.arrayContaining([
        {
          tenant_id: 't',
          window_start: NOW,
          window_end: NOW + WINDOW_MS,
          count: 2,
          version: 2n,
        },
        {
          tenant_id: 't',
          window_start: NOW - 120_000,
          window_end: NOW - 60_000,
          count: 1,
          version: 1n,
        },
      ]),
    );
  });

  it('are recorded once, also after a crash', async () => {
    await open();
    await pipe(webhook('1'));
    await driver.crash();
    await pipeAll([webhook('1'), webhook('2'), webhook('2')]);
    expect(driver.readValues('event.recorded').map((event) => event?.event_id)).toEqual([
      'gh:1',
      'gh:2',
    ]);
  });

  it('are dead-lettered with every reason, and their id is not remembered', async () => {
    await open();
    await pipe(webhook('1', { tenant_id: '', payload: '{', occurred_at: NOW + 3_600_000 }));
    const [letter] = driver.deadLetters();
    expect(letter?.info).toMatchObject({ code: 'VALIDATION', step: 'validate-webhook' });
    for (const reason of ['tenant_id', 'payload', 'future'])
      expect(letter?.info.message).toContain(reason);
    await pipe(webhook('1'));
    expect(driver.read('event.recorded')).toHaveLength(1);
  });
});

describe('rows of the events table', () => {
  const envelope = (op: string, change: object = {}): CdcPublicEventsEnvelope => ({
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
    source: {
      ts_ms: NOW,
      snapshot: null,
      table: 'events',
      lsn: 1n,
      sequence: null,
      file: null,
      pos: null,
      row: null,
    },
    ts_ms: NOW,
  });
  const pipeRow = (value: CdcPublicEventsEnvelope) => driver.pipe('cdc.public.events', '5', value);

  it('are recorded once, whether read by a snapshot or from the log', async () => {
    await open();
    for (const op of ['r', 'c', 'u']) await pipeRow(envelope(op));
    expect(driver.readValues('event.recorded')).toEqual([
      expect.objectContaining({
        event_id: 'cdc:events:5',
        source: 'cdc:events',
        entity_id: '9',
        occurred_at: NOW,
      }),
    ]);
    expect(driver.counters().dropped).toBe(2);
  });

  it('are dead-lettered for an empty kind and a time in the future', async () => {
    await open();
    const occurred_at = new Date(NOW + 3_600_000).toISOString();
    await pipeRow(envelope('c', { kind: ' ', occurred_at }));
    expect(driver.deadLetters()[0]?.info.message).toMatch(/kind.*future/);
  });

  it('without a time that can be read are dead-lettered, not counted in some minute', async () => {
    await open();
    await pipeRow(envelope('c', { occurred_at: null }));
    expect(driver.deadLetters()[0]?.info.message).toContain('occurred_at is no time');
    expect(driver.read('metric.tenant.count')).toEqual([]);
  });
});

describe('counts per tenant and minute', () => {
  it('are right whatever the partitions, batches and crashes; versions grow', async () => {
    const batch = fc.record({
      events: fc.array(
        fc.record({
          tenant: fc.constantFrom('a', 'b', 'c'),
          minute: fc.nat(3),
          entity: fc.nat(5),
          repeats: fc.boolean(),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      crash: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { maxLength: 6 }), async (batches) => {
        await open(3);
        const expected = new Map<string, number>();
        let id = 0;
        for (const { events, crash } of batches) {
          const sent = events.flatMap(({ tenant, minute, entity, repeats }) => {
            const start = NOW - minute * WINDOW_MS;
            const window = `${tenant}/${start}`;
            expected.set(window, (expected.get(window) ?? 0) + 1);
            id += 1;
            const at = { tenant_id: tenant, entity_id: String(entity), occurred_at: start };
            const one = webhook(String(id), at);
            return repeats ? [one, one] : [one];
          });
          await pipeAll(sent);
          if (crash) await driver.crash();
        }
        const newest = new Map<string, { count: number; version: bigint }>();
        for (const count of driver.readValues('metric.tenant.count')) {
          if (count === null) throw new Error('a tombstone');
          const window = `${count.tenant_id}/${count.window_start}`;
          expect(count.version).toBeGreaterThan(newest.get(window)?.version ?? 0n);
          newest.set(window, count);
        }
        const counts = new Map([...newest].map(([window, { count }]) => [window, count]));
        expect(counts).toEqual(expected);
        await driver.close();
      }),
      { numRuns: 40 },
    );
    await open();
  });

  it('take events for a week; what comes later is dead-lettered, although it is recorded', async () => {
    await open();
    const old = NOW - GRACE_MS - 2 * WINDOW_MS;
    await pipeAll([webhook('1'), webhook('2', { occurred_at: old })]);
    expect(driver.readValues('metric.tenant.count').map((count) => count?.window_start)).toEqual([
      NOW,
    ]);
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['LATE']);
    expect(driver.read('event.recorded')).toHaveLength(2);
  });
});
