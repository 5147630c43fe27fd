import { afterEach, describe, expect, it } from 'vitest';
import type { TopologyBuilder, WindowedStream } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { session, sliding, tumbling } from '../topology/windows.ts';
import { event, MINUTE, SECOND, show, shown, T0, tenantCount, windows } from './samples.ts';
import { type TestDriverOptions, TopologyTestDriver } from './topology-test-driver.ts';

/**
 * A manual in tests, third part: windows, and what time it is. Event time is what records say; a task's watermark is how
 * far event time has come. Windows close by it, never by the clock on the wall.
 */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void, options?: TestDriverOptions) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare), options);
}

afterEach(() => driver.close());

/** An event of a tenant, so many seconds after `T0`. */
function pipe(tenant_id: string, seconds: number, partition = 0): Promise<void> {
  const value = event({ tenant_id });
  return driver.pipe('event.recorded', 'k', value, { timestamp: T0 + seconds * SECOND, partition });
}

function counted<V>(stream: WindowedStream<number, V>): void {
  stream.to('metric.tenant.count', { key: ({ key }) => key, value: tenantCount });
}

const minutes = tumbling({ sizeMs: MINUTE });
const tenant = ({ tenant_id }: { tenant_id: string }) => tenant_id;

describe('tumbling windows', () => {
  it('emit update: a window each time it changed, once per epoch', async () => {
    await run((t) =>
      counted(t.stream('event.recorded').groupBy(tenant).window(minutes).count('per-minute')),
    );
    await pipe('a', 0);
    await pipe('a', 59.999);
    await pipe('b', 60);
    expect(windows(driver)).toEqual(['a 0-60 s: 1', 'a 0-60 s: 2', 'b 60-120 s: 1']);
  });

  it('emit close: each window once, when the watermark has passed its end and its grace', async () => {
    const window = tumbling({ sizeMs: MINUTE, graceMs: 10 * SECOND });
    await run((t) =>
      counted(
        t
          .stream('event.recorded')
          .groupBy(tenant)
          .window(window)
          .count('closed', { emit: 'close' }),
      ),
    );
    await pipe('a', 0);
    await pipe('b', 1);
    await pipe('a', 69.999);
    // Out of order, and still in time.
    await pipe('a', 30);
    expect(windows(driver)).toEqual([]);
    await pipe('a', 70);
    expect(windows(driver)).toEqual(['a 0-60 s: 2', 'b 0-60 s: 1']);
    // What is closed is forgotten.
    expect(driver.entries('closed')).toMatchObject([{ key: 'a', start: T0 + MINUTE, value: 2 }]);
  });

  it('results have the window’s end as their event time', async () => {
    await run((t) => {
      t.stream('event.recorded')
        .groupByKey()
        .window(minutes)
        .count('per-minute')
        .map('result', (window, { timestamp }) => tenantCount({ ...window, value: timestamp - T0 }))
        .to('metric.tenant.count');
    });
    await pipe('a', 5);
    expect(windows(driver)).toEqual([`k 0-60 s: ${MINUTE}`]);
  });

  it('align to the epoch, before 1970, too', async () => {
    await run((t) =>
      counted(t.stream('event.recorded').groupBy(tenant).window(minutes).count('per-minute')),
    );
    await driver.pipe('event.recorded', 'k', event({ tenant_id: 'a' }), { timestamp: 59_999 });
    expect(driver.readValues('metric.tenant.count')).toMatchObject([{ window_start: 0 }]);
  });

  it('groupByKey counts where records are, without a repartition topic', async () => {
    const topology = defineTopology('manual', (t) => {
      const events = t.stream('event.recorded');
      counted(events.groupByKey().window(minutes).count('per-key', { emit: 'close' }));
    });
    expect(topology.subTopologies).toHaveLength(1);
    driver = await TopologyTestDriver.open(topology);
    await pipe('a', 0);
    await pipe('a', 1);
    await pipe('a', 60);
    expect(windows(driver)).toEqual(['k 0-60 s: 2']);
  });

  it('reduce and aggregate work by window, too', async () => {
    await run((t) => {
      const events = t.stream('event.recorded').groupBy(tenant).window(minutes);
      events
        .reduce('last', (_, b) => b, { emit: 'close' })
        .map('show-last', ({ value }) => shown(['last', value.event_id]))
        .to('contact.golden', { value: () => null });
      counted(
        events.aggregate(
          'sizes',
          { init: () => 0, add: (n, e) => n + e.event_id.length },
          { emit: 'close' },
        ),
      );
    });
    await driver.pipe('event.recorded', 'k', event({ tenant_id: 'a', event_id: 'x' }));
    await driver.pipe('event.recorded', 'k', event({ tenant_id: 'a', event_id: 'yz' }));
    await pipe('a', 60);
    expect(windows(driver)).toEqual(['a 0-60 s: 3']);
    expect(driver.read('contact.golden')).toHaveLength(1);
  });
});

describe('sliding windows', () => {
  it('overlap: a record is in each window that holds its time', async () => {
    const window = sliding({ sizeMs: MINUTE, everyMs: 30 * SECOND });
    await run((t) =>
      counted(
        t
          .stream('event.recorded')
          .groupBy(tenant)
          .window(window)
          .count('sliding', { emit: 'close' }),
      ),
    );
    await pipe('a', 40);
    await pipe('a', 70);
    await pipe('a', 200);
    expect(windows(driver)).toEqual(['a 0-60 s: 1', 'a 30-90 s: 2', 'a 60-120 s: 1']);
  });
});

describe('session windows', () => {
  const window = session({ gapMs: 30 * SECOND });

  it('last as long as records of a key follow each other within the gap', async () => {
    await run((t) =>
      counted(
        t.stream('event.recorded').groupByKey().window(window).count('visits', { emit: 'close' }),
      ),
    );
    for (const seconds of [0, 20, 40, 100, 200]) await pipe('a', seconds);
    expect(windows(driver)).toEqual(['k 0-40 s: 3', 'k 100-100 s: 1']);
  });

  it('a record between two sessions makes them one', async () => {
    const slack = session({ gapMs: 30 * SECOND, graceMs: MINUTE });
    await run((t) =>
      counted(t.stream('event.recorded').groupByKey().window(slack).count('visits')),
    );
    for (const seconds of [0, 50, 25]) await pipe('a', seconds);
    expect(windows(driver)).toEqual(['k 0-0 s: 1', 'k 50-50 s: 1', 'k 0-50 s: 3']);
  });
});

describe('late records', () => {
  const byTenant = (t: TopologyBuilder) =>
    t
      .stream('event.recorded')
      .groupBy(tenant)
      .window(tumbling({ sizeMs: MINUTE, graceMs: 30 * SECOND }))
      .count('per-minute', { emit: 'close' });

  it('go to late(), where they can be handled', async () => {
    await run((t) => {
      const results = byTenant(t);
      counted(results);
      results
        .late()
        .map('late-contact', () => null)
        .to('contact.golden');
    });
    await pipe('a', 0);
    await pipe('a', 90);
    await pipe('a', 59);
    expect(windows(driver)).toEqual(['a 0-60 s: 1']);
    expect(driver.read('contact.golden')).toMatchObject([{ timestamp: T0 + 59 * SECOND }]);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('are dead-lettered as LATE when nobody takes them', async () => {
    await run((t) => counted(byTenant(t)));
    await pipe('a', 90);
    await pipe('a', 59);
    expect(driver.deadLetters().map(({ info }) => [info.code, info.topic, info.message])).toEqual([
      [
        'LATE',
        'event.recorded',
        'late: its window ended at 2026-01-01T00:01:00.000Z and took records for 30000 ms more, but event time is at 2026-01-01T00:01:30.000Z',
      ],
    ]);
  });

  it('are late by their own partition: one that runs ahead makes nothing of another late', async () => {
    await run((t) => counted(byTenant(t)), { partitions: 2 });
    await pipe('a', 3_600, 1);
    for (const seconds of [0, 60, 120]) await pipe('a', seconds, 0);
    await pipe('a', 3_600, 0);
    expect(driver.deadLetters()).toEqual([]);
    expect(windows(driver)).toEqual(['a 0-60 s: 1', 'a 60-120 s: 1', 'a 120-180 s: 1']);
  });

  it('disorderMs lets the watermark stay behind, so that nothing within it is late', async () => {
    await run((t) => {
      const events = t.stream('event.recorded', { disorderMs: MINUTE });
      counted(events.groupBy(tenant).window(minutes).count('per-minute', { emit: 'close' }));
    });
    for (const seconds of [0, 100, 50, 119]) await pipe('a', seconds);
    expect(driver.deadLetters()).toEqual([]);
    expect(windows(driver)).toEqual([]);
    await pipe('a', 120);
    expect(windows(driver)).toEqual(['a 0-60 s: 2']);
  });

  it('late sessions and values of a groupByKey are found late, too', async () => {
    await run((t) => {
      const events = t.stream('event.recorded');
      counted(
        events
          .groupByKey()
          .window(session({ gapMs: SECOND }))
          .count('visits'),
      );
      counted(events.groupByKey().window(minutes).count('per-minute'));
    });
    await pipe('a', 3_600);
    await pipe('a', 0);
    expect(driver.deadLetters().map(({ info }) => [info.step, info.code])).toEqual([
      ['visits', 'LATE'],
      ['per-minute', 'LATE'],
    ]);
  });
});

describe('event time', () => {
  it('is the Kafka timestamp, or what the stream takes from the value', async () => {
    await run((t) => {
      const events = t.stream('event.recorded', { timestamp: ({ occurred_at }) => occurred_at });
      counted(events.groupBy(tenant).window(minutes).count('per-minute'));
    });
    await driver.pipe('event.recorded', 'k', event({ tenant_id: 'a', occurred_at: T0 - MINUTE }));
    expect(windows(driver)).toEqual(['a -60-0 s: 1']);
  });

  it('one wrong clock does not close windows: maxAheadMs bounds how far a record moves the watermark', async () => {
    await run((t) => {
      const events = t.stream('event.recorded', {
        timestamp: ({ occurred_at }) => occurred_at,
        maxAheadMs: MINUTE,
      });
      counted(events.groupBy(tenant).window(minutes).count('per-minute', { emit: 'close' }));
    });
    const inTenYears = T0 + 10 * 365 * 86_400_000;
    await driver.pipe('event.recorded', 'k', event({ tenant_id: 'a', occurred_at: inTenYears }));
    expect(driver.watermark('event-recorded')).toBe(T0 + MINUTE);
  });

  it('a task is as far as its slowest partition', async () => {
    await run(
      (t) =>
        counted(t.stream('event.recorded').groupBy(tenant).window(minutes).count('per-minute')),
      { partitions: 2 },
    );
    await pipe('a', 100, 0);
    await pipe('a', 200, 1);
    expect(driver.watermark('event-recorded', 0)).toBe(T0 + 100 * SECOND);
    expect(driver.watermark('per-minute', 0)).toBe(T0 + 100 * SECOND);
    await pipe('a', 300, 0);
    // Heard of with the next epoch that has something for it, or by a heartbeat.
    await driver.advanceWallClock(SECOND);
    expect(driver.watermark('per-minute', 0)).toBe(T0 + 200 * SECOND);
  });

  it('a partition that is silent for idleAfterMs does not hold the others back', async () => {
    await run(
      (t) => {
        const events = t.stream('event.recorded', { idleAfterMs: 10 * SECOND });
        counted(events.groupBy(tenant).window(minutes).count('per-minute', { emit: 'close' }));
      },
      { partitions: 2 },
    );
    await pipe('a', 0, 0);
    await pipe('a', 0, 1);
    await pipe('a', 600, 0);
    expect(windows(driver)).toEqual([]);
    await driver.advanceWallClock(9 * SECOND);
    await pipe('a', 601, 0);
    expect(windows(driver)).toEqual([]);
    await driver.advanceWallClock(SECOND);
    expect(windows(driver)).toEqual(['a 0-60 s: 2']);
  });

  it('with no traffic at all windows close by the clock, at the distance of idleness', async () => {
    await run((t) => {
      const events = t.stream('event.recorded', { idleAfterMs: 10 * SECOND });
      counted(events.groupBy(tenant).window(minutes).count('per-minute', { emit: 'close' }));
    });
    await pipe('a', 0);
    await driver.advanceWallClock(MINUTE + 10 * SECOND - 1);
    expect(windows(driver)).toEqual([]);
    // Tasks behind a repartition topic are told each five seconds while nothing moves.
    await driver.advanceWallClock(5 * SECOND);
    expect(windows(driver)).toEqual(['a 0-60 s: 1']);
  });

  it('advanceWatermark lets event time come to a moment, whatever the clock has to do for it', async () => {
    await run(
      (t) =>
        counted(
          t
            .stream('event.recorded')
            .groupBy(tenant)
            .window(minutes)
            .count('per-minute', { emit: 'close' }),
        ),
      { partitions: 3 },
    );
    await pipe('a', 0);
    await driver.advanceWatermark(T0 + MINUTE);
    expect(windows(driver)).toEqual(['a 0-60 s: 1']);
    expect(driver.watermark('per-minute', 2)).toBeGreaterThanOrEqual(T0 + MINUTE);
  });
});

describe('windows of windows', () => {
  it('a closed window is in time for the next, however far event time jumps', async () => {
    await run((t) => {
      t.stream('event.recorded')
        .groupByKey()
        .window(minutes)
        .count('per-minute', { emit: 'close' })
        .groupByKey()
        .window(tumbling({ sizeMs: 5 * MINUTE }))
        .aggregate(
          'peak',
          { init: () => 0, add: (peak, { value }) => Math.max(peak, value) },
          { emit: 'close' },
        )
        .map('show', ({ start, value }) => shown([(start - T0) / MINUTE, value]))
        .to('contact.golden', { value: () => null });
    });
    for (const seconds of [0, 1, 60, 61, 62, 7_200]) await pipe('a', seconds);
    expect(driver.deadLetters()).toEqual([]);
    expect(driver.read('contact.golden')).toHaveLength(1);
    expect(driver.entries('peak')).toEqual([]);
    expect(show(driver)).toHaveLength(6);
  });
});
