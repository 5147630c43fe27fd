import { afterEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../observability/metrics.ts';
import type { TaskStatus } from '../observability/process-status.ts';
import { taskStatusOf } from '../observability/task-status.ts';
import { SECOND, show, shown, webhook } from '../testing/samples.ts';
import { TopologyTestDriver } from '../testing/topology-test-driver.ts';
import { defineTopology } from '../topology/builder.ts';
import { type Outcome, ok } from '../topology/outcome.ts';
import type { AsyncOptions } from './async-options.ts';

type Call = (payload: string) => Promise<Outcome<string>>;

/** What scrapers and `reachflow status` get to see of a step that calls the outside world. */
describe('an asynchronous step, seen from outside', () => {
  let driver: TopologyTestDriver;
  afterEach(() => driver.close());

  async function run(call: Call, options: Partial<AsyncOptions<unknown, string>> = {}) {
    const topology = defineTopology('p', (t) => {
      t.stream('webhook.received')
        .asyncMap<string>('ask', { backoffMs: 1, retries: 0, ...(options as object) }, (value) =>
          call(value.payload),
        )
        .map('show', shown)
        .to('event.recorded');
    });
    driver = await TopologyTestDriver.open(topology);
  }

  const pipe = (...payloads: string[]) =>
    driver.pipeAll(
      'webhook.received',
      payloads.map((payload) => ({ key: 'k', value: webhook({ payload }) })),
    );

  function status(): TaskStatus {
    const counters = driver.counters();
    return taskStatusOf('p', 's', {
      partition: 0,
      life: 'running',
      restarts: 0,
      failure: undefined,
      restore: undefined,
      ends: new Map(),
      kept: undefined,
      task: {
        counters,
        committedPositions: new Map(),
        watermark: 0,
        state: { stats: () => ({ stores: [] }) } as never,
      },
    });
  }

  /** Value of a gauge with the labels of the step. */
  async function scraped(name: string): Promise<number | undefined> {
    const metrics = createMetrics({ version: '1', process: false });
    const task = status();
    metrics.watch({
      identity: { instance: 'i', pid: 1, host: 'h', namespace: '', version: '1', startedAt: 0 },
      phase: 'running',
      tasks: () => [task],
      sinks: () => [],
      connectors: async () => [],
    });
    const found = (await metrics.registry.metrics())
      .split('\n')
      .find((line) => line.startsWith(`${name}{pipeline="p",subtopology="s",step="ask"} `));
    return found === undefined ? undefined : Number(found.slice(found.lastIndexOf(' ')));
  }

  it('has the calls under way, and none once they have ended', async () => {
    const waiting: (() => void)[] = [];
    const call: Call = (payload) =>
      new Promise((resolve) => void waiting.push(() => resolve(ok(payload))));
    await run(call, { concurrency: 2 });
    const piped = pipe('a', 'b', 'c');
    while (waiting.length < 2) await new Promise(setImmediate);
    expect(status().asyncSteps).toEqual([{ step: 'ask', inFlight: 2 }]);
    expect(await scraped('reachflow_async_in_flight')).toBe(2);
    expect(await scraped('reachflow_breaker_state'), 'it has no breaker').toBeUndefined();
    for (const end of waiting.splice(0)) end();
    while (waiting.length < 1) await new Promise(setImmediate);
    expect(await scraped('reachflow_async_in_flight')).toBe(1);
    for (const end of waiting.splice(0)) end();
    await piped;
    expect(await scraped('reachflow_async_in_flight')).toBe(0);
    expect(show(driver)).toEqual(['a', 'b', 'c']);
  });

  it('counts no call any more that threw or was given up', async () => {
    const call: Call = (payload) =>
      payload === 'hangs' ? new Promise(() => undefined) : Promise.reject(new Error('down'));
    await run(call, { timeoutMs: 10, onFailure: 'dlq' });
    await pipe('hangs', 'fails');
    expect(driver.deadLetters()).toHaveLength(2);
    expect(status().asyncSteps).toEqual([{ step: 'ask', inFlight: 0 }]);
  });

  it('says that the breaker is open while the service is away: the alert ReachflowBreakerOpen can fire', async () => {
    let isUp = false;
    let calls = 0;
    const call: Call = (payload) => {
      calls += 1;
      return isUp ? Promise.resolve(ok(payload)) : Promise.reject(new Error('down'));
    };
    const breaker = { failureRatio: 0.5, windowMs: 1_000, openMs: 30 };
    await run(call, { concurrency: 1, breaker });
    expect(await scraped('reachflow_breaker_state')).toBe(0);
    const piped = Array.from({ length: 10 }, (_, i) => String(i));
    await pipe(...piped);
    expect(await scraped('reachflow_breaker_state')).toBe(2);
    expect(status().asyncSteps).toEqual([{ step: 'ask', inFlight: 0, breaker: 'open' }]);
    const before = calls;
    // The partition stands at its first record, which is the one that is tried.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await driver.advanceWallClock(SECOND);
    expect(calls, 'one call to see whether it is back').toBe(before + 1);
    expect(await scraped('reachflow_breaker_state')).toBe(2);
    isUp = true;
    await new Promise((resolve) => setTimeout(resolve, 50));
    await driver.advanceWallClock(SECOND);
    expect(await scraped('reachflow_breaker_state')).toBe(0);
    expect(show(driver)).toEqual(piped);
  });
});
