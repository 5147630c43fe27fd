import { afterEach, describe, expect, it } from 'vitest';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { tumbling } from '../topology/windows.ts';
import { CRASH_POINTS } from './memory-log.ts';
import { event, MINUTE, SECOND, shown, T0, tenantCount, webhook, windows } from './samples.ts';
import { TopologyTestDriver } from './topology-test-driver.ts';

/**
 * A manual in tests, sixth part: crashes. An epoch's outputs, its changes of state and its input positions are one
 * transaction, so there is no moment at which a crash loses something or does it twice.
 */

let driver: TopologyTestDriver;

afterEach(() => driver.close());

/** Dedup, then counts per tenant and minute through a repartition topic. */
function counting(t: TopologyBuilder): void {
  const events = t
    .stream('event.recorded')
    .dedup('once', { id: ({ event_id }) => event_id, ttlMs: 24 * 60 * MINUTE });
  events.map('pass', ({ event_id }) => webhook({ event_id })).to('webhook.received');
  events
    .groupBy(({ tenant_id }) => tenant_id)
    .window(tumbling({ sizeMs: MINUTE }))
    .count('per-minute', { emit: 'close' })
    .to('metric.tenant.count', { key: ({ key }) => key, value: tenantCount });
}

const ids = Array.from({ length: 10 }, (_, i) => String(i));

/** Pipes ten events, each twice, and lets their windows close. */
async function story(): Promise<{ passed: (string | undefined)[]; counts: string[] }> {
  for (const [i, event_id] of [...ids, ...ids].entries()) {
    const at = { timestamp: T0 + i * 10 * SECOND };
    await driver.pipe('event.recorded', event_id, event({ event_id }), at);
  }
  await driver.advanceWatermark(T0 + 60 * MINUTE);
  const passed = driver.readValues('webhook.received').map((value) => value?.event_id);
  return { passed: passed.toSorted(), counts: windows(driver) };
}

const EXPECTED = { passed: ids, counts: ['t 0-60 s: 6', 't 60-120 s: 4'] };

describe('wherever a crash strikes', () => {
  it('without one, this is what comes of it', async () => {
    driver = await TopologyTestDriver.open(defineTopology('manual', counting));
    expect(await story()).toEqual(EXPECTED);
  });

  for (const point of CRASH_POINTS) {
    it(`${point}: the same comes of it, at every time that point is come to`, async () => {
      for (let nth = 1; nth <= 24; nth += 4) {
        driver = await TopologyTestDriver.open(defineTopology('manual', counting), {
          partitions: 2,
        });
        driver.crashAt(point, nth);
        // The points of opening are come to when there was a crash before.
        if (['before-open', 'after-open', 'restore'].includes(point))
          driver.crashAt('before-end', 3);
        expect(await story()).toEqual(EXPECTED);
        await driver.close();
      }
    });
  }

  it('crashes while it recovers from a crash, again and again', async () => {
    driver = await TopologyTestDriver.open(defineTopology('manual', counting));
    driver.crashAt('in-commit', 2);
    for (const point of ['after-open', 'restore', 'before-open', 'restore'] as const)
      driver.crashAt(point, 2);
    expect(await story()).toEqual(EXPECTED);
    expect(driver.pendingCrashes).toEqual([]);
  });

  it('at rest, all that is in memory is gone, and comes back from the changelog', async () => {
    driver = await TopologyTestDriver.open(defineTopology('manual', counting));
    await driver.pipe('event.recorded', 'a', event());
    const before = [
      driver.entries('once'),
      driver.entries('per-minute'),
      driver.watermark('per-minute'),
    ];
    await driver.crash();
    const after = [
      driver.entries('once'),
      driver.entries('per-minute'),
      driver.watermark('per-minute'),
    ];
    expect(after).toEqual(before);
  });
});

describe('what a crash leaves behind', () => {
  it('an open transaction is aborted by the next owner, and nobody reads of it', async () => {
    driver = await TopologyTestDriver.open(
      defineTopology('manual', (t) => {
        t.stream('webhook.received')
          .map('show', ({ payload }) => shown(payload))
          .to('event.recorded');
      }),
    );
    driver.crashAt('before-end');
    await driver.pipe('webhook.received', 'k', webhook({ payload: 'x' }));
    expect(driver.read('event.recorded')).toHaveLength(1);
  });

  it('idleness and timers go on with the watermark that was reached', async () => {
    driver = await TopologyTestDriver.open(defineTopology('manual', counting));
    await driver.pipe('event.recorded', 'a', event(), { timestamp: T0 + 30 * SECOND });
    await driver.crash();
    expect(driver.watermark('event-recorded')).toBe(T0 + 30 * SECOND);
    await driver.advanceWatermark(T0 + MINUTE);
    expect(windows(driver)).toEqual(['t 0-60 s: 1']);
  });
});
