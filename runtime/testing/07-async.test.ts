import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { WebhookReceived } from '../../schemas/types.ts';
import { ReachflowError } from '../errors.ts';
import { textSerde } from '../state/contract.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { dlq, drop, type Outcome, ok } from '../topology/outcome.ts';
import { tumbling } from '../topology/windows.ts';
import { MINUTE, SECOND, show, shown, T0, tenantCount, webhook, windows } from './samples.ts';
import { TopologyTestDriver } from './topology-test-driver.ts';

/**
 * A manual in tests, seventh part: steps that call the outside world. Many calls are under way at once, results go on in
 * the order of the records, and the epoch waits for all of them. Calls have real time; the topology has the driver's.
 */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare));
}

afterEach(() => driver.close());

type Call = (value: WebhookReceived, signal: AbortSignal) => Promise<Outcome<string>>;
type Options = Parameters<ReturnType<TopologyBuilder['stream']>['asyncMap']>[1];

function asking(call: Call, options: Partial<Options> = {}) {
  return (t: TopologyBuilder) =>
    t
      .stream('webhook.received')
      .asyncMap<string>('ask', { backoffMs: 1, ...(options as object) }, call)
      .map('show', shown)
      .to('event.recorded');
}

function pipe(...payloads: string[]): Promise<void> {
  const records = payloads.map((payload) => ({ key: 'k', value: webhook({ payload }) }));
  return driver.pipeAll('webhook.received', records);
}

describe('asyncMap', () => {
  it('has many calls under way, at most `concurrency`, and results in order', async () => {
    let underWay = 0;
    let most = 0;
    const slow: Call = async ({ payload }) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await delay(Number(payload));
      underWay -= 1;
      return ok(payload);
    };
    await run(asking(slow, { concurrency: 3 }));
    await pipe('20', '1', '10', '1', '5');
    expect(show(driver)).toEqual(['20', '1', '10', '1', '5']);
    expect(most).toBe(3);
    expect(driver.counters().epochs).toBe(1);
  });

  it('drops and dead-letters by what the call says', async () => {
    const error = new ReachflowError('unknown', { code: 'NOT_FOUND', domain: 'user' });
    const known: Record<string, Outcome<string>> = { a: ok('A'), b: drop('no'), c: dlq(error) };
    await run(asking(({ payload }) => Promise.resolve(known[payload] ?? ok('?'))));
    await pipe('a', 'b', 'c', 'd');
    expect(show(driver)).toEqual(['A', '?']);
    expect(driver.deadLetters().map(({ info }) => [info.step, info.code])).toEqual([
      ['ask', 'NOT_FOUND'],
    ]);
  });

  it('tries again what throws', async () => {
    let calls = 0;
    await run(
      asking(({ payload }) => {
        calls += 1;
        return calls < 3 ? Promise.reject(new Error('not now')) : Promise.resolve(ok(payload));
      }),
    );
    await pipe('a');
    expect([calls, show(driver)]).toEqual([3, ['a']]);
  });

  it('gives a call up after timeoutMs, whether it heeds its signal or not', async () => {
    const aborted: boolean[] = [];
    const options = { timeoutMs: 10, retries: 0, onFailure: 'dlq' } as const;
    await run(
      asking((_, signal) => {
        signal.addEventListener('abort', () => aborted.push(signal.aborted));
        return new Promise(() => undefined);
      }, options),
    );
    await pipe('a');
    expect(aborted).toEqual([true]);
    expect(driver.deadLetters().map(({ info }) => info.code)).toEqual(['ASYNC_STEP_FAILED']);
  });

  it('onFailure wait: stands at the record, so that nothing is lost or overtaken', async () => {
    let isUp = false;
    const call: Call = ({ payload }) =>
      isUp || payload !== 'b' ? Promise.resolve(ok(payload)) : Promise.reject(new Error('down'));
    await run(asking(call, { retries: 0 }));
    await pipe('a', 'b', 'c');
    expect(show(driver)).toEqual(['a']);
    isUp = true;
    await driver.advanceWallClock(SECOND);
    expect(show(driver)).toEqual(['b', 'c']);
  });

  it('a breaker stops calling a service that fails, for openMs', async () => {
    let calls = 0;
    const breaker = { failureRatio: 0.5, windowMs: 1_000, openMs: 60_000 };
    await run(
      asking(
        () => {
          calls += 1;
          return Promise.reject(new Error('down'));
        },
        { concurrency: 1, retries: 0, breaker, onFailure: 'dlq' },
      ),
    );
    await pipe(...Array.from({ length: 50 }, (_, i) => String(i)));
    expect(calls).toBeLessThan(10);
    expect(driver.deadLetters()).toHaveLength(50);
  });

  it('the journal answers what was asked before, after a crash, too', async () => {
    const asked: string[] = [];
    const call: Call = ({ payload }) => {
      asked.push(payload);
      return Promise.resolve(ok(`${payload} ${asked.length}`));
    };
    const journal = {
      id: (value: unknown) => (value as WebhookReceived).payload,
      ttlMs: MINUTE,
      serde: textSerde,
    };
    await run(asking(call, { journal } as never));
    await pipe('a', 'b');
    await driver.crash();
    await pipe('b', 'a', 'c');
    expect(asked).toEqual(['a', 'b', 'c']);
    expect(show(driver)).toEqual(['a 1', 'b 2', 'b 2', 'a 1', 'c 3']);
  });

  it('an outcome that leads nowhere is a bug, and says so', async () => {
    await run(asking(() => Promise.resolve({ kind: 'redirect', output: 'nowhere', value: 1 })));
    await expect(pipe('a')).rejects.toMatchObject({
      code: 'STEP_FAILED',
      message: expect.stringContaining('webhook.received[0]@0'),
    });
  });
});

describe('with time', () => {
  const at = (seconds: number) => ({ timestamp: T0 + seconds * SECOND });

  it('windows behind an async step count what was in time, however large the batch', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .asyncMap('ask', {}, ({ payload }) => Promise.resolve(ok(payload)))
        .groupByKey()
        .window(tumbling({ sizeMs: MINUTE }))
        .count('per-minute', { emit: 'close' })
        .to('metric.tenant.count', { value: tenantCount });
    });
    await driver.pipeAll(
      'webhook.received',
      [0, 10, 70, 130].map((seconds) => ({ key: 'k', value: webhook(), ...at(seconds) })),
    );
    expect(driver.deadLetters()).toEqual([]);
    expect(windows(driver)).toEqual(['k 0-60 s: 2', 'k 60-120 s: 1']);
  });

  it('an async step behind a window is done before the epoch commits', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .groupByKey()
        .window(tumbling({ sizeMs: MINUTE }))
        .count('per-minute')
        .asyncMap('ask', {}, async ({ value }) => {
          await delay(1);
          return ok(shown(value));
        })
        .to('event.recorded');
    });
    driver.crashAt('after-end');
    await driver.pipe('webhook.received', 'k', webhook(), at(0));
    expect(show(driver)).toEqual([1]);
  });
});
