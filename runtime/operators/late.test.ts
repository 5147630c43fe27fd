import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../observability/metrics.ts';
import { contact, event, MINUTE, SECOND, T0, tenantCount } from '../testing/samples.ts';
import { TopologyTestDriver } from '../testing/topology-test-driver.ts';
import type { TopologyBuilder, WindowedStream } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { session, tumbling } from '../topology/windows.ts';

const minutes = tumbling({ sizeMs: MINUTE });

/** Where late records go, so that they are not dead-lettered. */
function finish<V>(counts: WindowedStream<number, V>): void {
  counts.map('row', tenantCount).to('metric.tenant.count');
  counts
    .late()
    .map('late', () => contact())
    .to('contact.golden');
}

/** One of each operator that judges lateness, and the step that is to count. */
const TOPOLOGIES: readonly [step: string, what: string, (t: TopologyBuilder) => void][] = [
  [
    'per-minute.combine',
    'windows behind a repartition topic',
    (t) =>
      finish(
        t
          .stream('event.recorded')
          .groupBy(({ tenant_id }) => tenant_id)
          .window(minutes)
          .count('per-minute'),
      ),
  ],
  [
    'per-minute',
    'windows by the key',
    (t) => finish(t.stream('event.recorded').groupByKey().window(minutes).count('per-minute')),
  ],
  [
    'visits',
    'sessions',
    (t) =>
      finish(
        t
          .stream('event.recorded')
          .groupByKey()
          .window(session({ gapMs: SECOND }))
          .count('visits'),
      ),
  ],
];

describe('late records that go to an output of their own', () => {
  let driver: TopologyTestDriver | undefined;
  afterEach(() => driver?.close());

  it.each(TOPOLOGIES)('are counted by %s: %s', async (step, _what, declare) => {
    const opened = await TopologyTestDriver.open(defineTopology('p', declare));
    driver = opened;
    const pipe = (seconds: number) =>
      opened.pipe('event.recorded', 'k', event(), { timestamp: T0 + seconds * SECOND });
    await pipe(3_600);
    await pipe(0);
    await pipe(1);
    expect(opened.deadLetters()).toEqual([]);
    expect(opened.readValues('contact.golden')).toHaveLength(2);
    const counters = opened.counters();
    expect(counters.steps.get(step)?.late).toBe(2);
    const metrics = createMetrics({ version: '1', process: false });
    metrics.task('p', 's').attach(counters);
    expect(await metrics.registry.metrics()).toContain(
      `reachflow_late_records_total{pipeline="p",subtopology="s",step="${step}"} 2`,
    );
  });
});
