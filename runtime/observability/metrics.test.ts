import { describe, expect, it } from 'vitest';
import { newTaskCounters } from '../task/counters.ts';
import { LabelGuard, OTHER } from './label-guard.ts';
import { createMetrics } from './metrics.ts';
import type { ProcessStatus, TaskStatus } from './process-status.ts';

function counts(given: Partial<Record<'recordsIn' | 'epochs' | 'deadLettered', number>> = {}) {
  return { ...newTaskCounters(), ...given };
}

const TASK: TaskStatus = {
  pipeline: 'events',
  subTopology: 'webhooks',
  partition: 2,
  state: 'running',
  inputs: [{ topic: 'webhook.received', partition: 2, position: 90, end: 100, lag: 10 }],
  restarts: 0,
};

function statusOf(tasks: TaskStatus[], sinks: ReturnType<ProcessStatus['sinks']> = []) {
  const status: ProcessStatus = {
    identity: { instance: 'i', pid: 1, host: 'h', namespace: '', version: '1', startedAt: 0 },
    phase: 'running',
    tasks: () => tasks,
    sinks: () => sinks,
    connectors: async () => [],
  };
  return status;
}

/** Samples as the scraper sees them: `name{labels}` → value. */
async function scrape(metrics: ReturnType<typeof createMetrics>): Promise<Map<string, number>> {
  const lines = (await metrics.registry.metrics()).split('\n').filter((line) => /^\w/.test(line));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

function setup() {
  const metrics = createMetrics({ version: '1', process: false });
  return { metrics, scraped: () => scrape(metrics) };
}

const IN = 'reachflow_records_total{pipeline="p",subtopology="s",step="",outcome="in"}';

describe('task metrics', () => {
  it('read the plain numbers of all tasks at each scrape', async () => {
    const { metrics, scraped } = setup();
    const [first, second] = [counts({ recordsIn: 3 }), counts({ recordsIn: 4 })];
    metrics.task('p', 's').attach(first);
    metrics.task('p', 's').attach(second);
    expect((await scraped()).get(IN)).toBe(7);
    first.recordsIn += 10;
    expect((await scraped()).get(IN)).toBe(17);
  });

  it('never go down: not when a task is opened anew, nor when it goes', async () => {
    const { metrics, scraped } = setup();
    const task = metrics.task('p', 's');
    task.attach(counts({ recordsIn: 5 }));
    const again = counts({ recordsIn: 2 });
    task.attach(again);
    task.attach(again);
    expect((await scraped()).get(IN)).toBe(7);
    task.close();
    task.close();
    expect((await scraped()).get(IN)).toBe(7);
    again.recordsIn += 1;
    expect((await scraped()).get(IN), 'a closed task is not read').toBe(7);
  });

  it('tell steps, reasons, codes and late records apart', async () => {
    const { metrics, scraped } = setup();
    const own = counts();
    own.steps.set('window', {
      in: 9,
      dropped: new Map([
        ['late', 1],
        ['empty', 2],
      ]),
      deadLettered: new Map([['LATE', 3]]),
      late: 4,
    });
    metrics.task('p', 's').attach(own);
    const found = await scraped();
    const of = (name: string, labels: string) =>
      found.get(`reachflow_${name}{pipeline="p",subtopology="s",step="window"${labels}}`);
    expect(of('records_total', ',outcome="in"')).toBe(9);
    expect(of('records_total', ',outcome="dropped"')).toBe(3);
    expect(of('records_total', ',outcome="dlq"')).toBe(3);
    expect(of('dropped_records_total', ',reason="empty"')).toBe(2);
    expect(of('failed_records_total', ',code="LATE"')).toBe(3);
    expect(of('late_records_total', '')).toBe(8);
  });

  it('have bounded labels: reasons that carry ids end up together', async () => {
    const { metrics, scraped } = setup();
    const own = counts();
    const dropped = new Map(Array.from({ length: 500 }, (_, i) => [`user ${i}`, 1] as const));
    own.steps.set('step', { in: 500, late: 0, dropped, deadLettered: new Map() });
    metrics.task('p', 's').attach(own);
    const series = [...(await scraped())].filter(([name]) => name.includes('dropped_records'));
    expect(series).toHaveLength(101);
    expect(
      series.reduce((sum, [, n]) => sum + n, 0),
      'none is lost',
    ).toBe(500);
    expect(series.some(([name]) => name.includes(`reason="${OTHER}"`))).toBe(true);
  });

  it('have durations in seconds', async () => {
    const { metrics, scraped } = setup();
    const task = metrics.task('p', 's');
    task.epoch({ epochMs: 80, commitMs: 20, oldestMs: Date.now() - 400 });
    task.epoch({ epochMs: 80, commitMs: 20, oldestMs: 0 });
    task.restored(1_000);
    task.restarted();
    const found = await scraped();
    const of = (name: string) => found.get(`reachflow_${name}{pipeline="p",subtopology="s"}`);
    expect(of('epoch_duration_seconds_sum')).toBeCloseTo(0.16);
    expect(of('commit_duration_seconds_count')).toBe(2);
    expect(of('record_latency_seconds_count')).toBe(1);
    expect(of('record_latency_seconds_sum')).toBeGreaterThanOrEqual(0.4);
    expect(of('restore_records_total')).toBe(1_000);
    expect(of('task_restarts_total')).toBe(1);
  });
});

describe('status metrics', () => {
  it('show what tasks say now, and nothing of tasks that went', async () => {
    const { metrics, scraped } = setup();
    const tasks: TaskStatus[] = [
      {
        ...TASK,
        watermark: Date.now() - 5_000,
        stateEntries: 7,
        stateBytes: 4_096,
        checkpoint: { at: Date.now() - 60_000, bytes: 10, durationMs: 1_500 },
        asyncSteps: [{ step: 'enrich', inFlight: 3, breaker: 'open' }],
      },
    ];
    metrics.watch(statusOf(tasks));
    const labels = '{pipeline="events",subtopology="webhooks",partition="2"';
    const found = await scraped();
    expect(found.get(`reachflow_state_entries${labels}}`)).toBe(7);
    expect(found.get(`reachflow_state_bytes${labels}}`)).toBe(4_096);
    expect(found.get(`reachflow_watermark_delay_seconds${labels}}`)).toBeCloseTo(5, 0);
    expect(found.get(`reachflow_checkpoint_age_seconds${labels}}`)).toBeCloseTo(60, 0);
    expect(found.get(`reachflow_checkpoint_duration_seconds${labels}}`)).toBe(1.5);
    expect(found.get(`reachflow_task_state${labels},state="running"}`)).toBe(1);
    expect(found.get(`reachflow_task_state${labels},state="failed"}`)).toBe(0);
    const lag =
      'reachflow_consumer_lag{group="events.webhooks",topic="webhook.received",partition="2"}';
    expect(found.get(lag)).toBe(10);
    const step = '{pipeline="events",subtopology="webhooks",step="enrich"}';
    expect(found.get(`reachflow_async_in_flight${step}`)).toBe(3);
    expect(found.get(`reachflow_breaker_state${step}`)).toBe(2);
    tasks.length = 0;
    const later = [...(await scraped()).keys()].filter((name) => name.includes('partition="2"'));
    expect(later).toEqual([]);
  });

  it.each([
    [{ state: 'restoring', restore: { done: 25, total: 100 } }, 0.25],
    [{ state: 'restoring' }, 0],
    [{ state: 'running', restore: { done: 25, total: 100 } }, 1],
  ] as const)('show the progress of a restore: %o', async (part, expected) => {
    const { metrics, scraped } = setup();
    metrics.watch(statusOf([{ ...TASK, ...part }]));
    const name =
      'reachflow_restore_progress_ratio{pipeline="events",subtopology="webhooks",partition="2"}';
    expect((await scraped()).get(name)).toBe(expected);
  });
});

describe('delivery metrics', () => {
  it('count sinks, dead letters and webhooks', async () => {
    const { metrics, scraped } = setup();
    const sickSince = Date.now() - 3_000;
    const breakerChanges = { open: 2, 'half-open': 2, closed: 1 };
    const own = {
      ...{ delivered: 4, deadLettered: 1, retries: 2, recordRetries: 3 },
      ...{ sickSince, breakerChanges },
    };
    const standing = { breaker: 'half-open', parkedKeys: 1, parkedRecords: 3 } as const;
    const sink = metrics.delivery.sink('postgres', own, () => standing);
    sink.wrote(5, 250);
    metrics.delivery.deadLetter('contact.golden', 'postgres', '23505');
    metrics.task('events', 'webhooks').deadLetter('webhook.received', 'LATE');
    metrics.delivery.webhookRequest('github', 202, 12);
    metrics.watch(
      statusOf(
        [],
        [
          {
            name: 'postgres',
            delivered: 4,
            deadLettered: 1,
            retries: 2,
            inputs: [{ topic: 'contact.golden', partition: 0, lag: 6 }],
          },
        ],
      ),
    );
    const found = await scraped();
    expect(found.get('reachflow_sink_records_total{sink="postgres",outcome="delivered"}')).toBe(4);
    expect(found.get('reachflow_sink_retries_total{sink="postgres"}')).toBe(2);
    expect(found.get('reachflow_sink_record_retries_total{sink="postgres"}')).toBe(3);
    expect(found.get('reachflow_sink_breaker_state{sink="postgres"}')).toBe(1);
    expect(found.get('reachflow_sink_parked_keys{sink="postgres"}')).toBe(1);
    expect(found.get('reachflow_sink_parked_records{sink="postgres"}')).toBe(3);
    expect(found.get('reachflow_sink_away_seconds{sink="postgres"}')).toBeCloseTo(3, 0);
    expect(found.get('reachflow_sink_write_duration_seconds_sum{sink="postgres"}')).toBe(0.25);
    const letters =
      'reachflow_dlq_records_total{topic="contact.golden",consumer="postgres",code="23505"}';
    expect(found.get(letters)).toBe(1);
    const late =
      'reachflow_dlq_records_total{topic="webhook.received",consumer="events",code="LATE"}';
    expect(found.get(late)).toBe(1);
    expect(found.get('reachflow_webhook_requests_total{source="github",status="202"}')).toBe(1);
    const lag =
      'reachflow_consumer_lag{group="sink.postgres",topic="contact.golden",partition="0"}';
    expect(found.get(lag)).toBe(6);
    sink.close();
    expect([...(await scraped()).keys()].join()).not.toContain('reachflow_sink_records_total');
  });
});

describe('the registry', () => {
  it('is of its own: two processes in one do not mix', async () => {
    const [one, other] = [setup(), setup()];
    one.metrics.task('p', 's').attach(counts({ recordsIn: 3 }));
    expect((await other.scraped()).has(IN)).toBe(false);
  });

  it('has the process, too', async () => {
    const metrics = createMetrics({ version: '9.9.9' });
    const text = await metrics.registry.metrics();
    expect(text).toContain('process_cpu_seconds_total');
    expect(text).toContain('nodejs_eventloop_lag_p99_seconds');
    expect(text).toContain('reachflow_build_info{version="9.9.9"');
  });

  it('names metrics by the conventions: a prefix, base units, _total for counters', async () => {
    const { metrics } = setup();
    const types = [...(await metrics.registry.metrics()).matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    expect(types.length).toBeGreaterThan(20);
    for (const [, name = '', type] of types) {
      expect(name).toMatch(/^reachflow_[a-z_]+$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name, 'base units').not.toMatch(/_(ms|millis|minutes|kb|mb|percent)(_|$)/);
    }
  });
});

describe('LabelGuard', () => {
  it('keeps the first values and those only', () => {
    const guard = new LabelGuard(2);
    expect(['a', 'b', 'c', 'a', 'c'].map((value) => guard.of(value))).toEqual([
      'a',
      'b',
      OTHER,
      'a',
      OTHER,
    ]);
    expect(new LabelGuard().of('x'.repeat(129))).toBe(OTHER);
  });
});
