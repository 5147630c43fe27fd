import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { EventRecorded, WebhookReceived } from '../../schemas/types.ts';
import type { CallOptions, ProcessContext, Processor } from '../operators/process-api.ts';
import { keyValueStore, textSerde } from '../state/contract.ts';
import { defineTopology } from '../topology/builder.ts';
import { SECOND, show, shown, webhook } from './samples.ts';
import { TopologyTestDriver } from './topology-test-driver.ts';

/**
 * A manual in tests, tenth part: low-level steps whose calls outlive their epoch. What is asked is state; what comes back is
 * taken when it is there. Calls have real time; the topology has the driver's.
 */

let driver: TopologyTestDriver;
afterEach(() => driver.close());

type Call = (payload: string) => Promise<string>;

const asked = keyValueStore<string>('asked', textSerde);
const answered = keyValueStore<string>('answered', textSerde);

/** Asks once for each payload, and says what came back; what was answered before is not asked for. */
function asking(call: Call) {
  return (context: ProcessContext<EventRecorded, Record<never, never>>): Processor<unknown> => {
    const [pending, known] = [context.store(asked), context.store(answered)];
    const say = (answer: string) => context.forward('k', shown(answer));
    const begin = (payload: string) =>
      context.calls.start(
        payload,
        () => call(payload),
        (answer) => {
          pending.delete(payload);
          known.set(payload, answer);
          say(answer);
        },
      );
    return {
      process(value) {
        const { payload } = value as WebhookReceived;
        const answer = known.get(payload);
        if (answer !== undefined) {
          say(`again ${answer}`);
          return undefined;
        }
        pending.set(payload, payload);
        begin(payload);
        return undefined;
      },
      onStart() {
        for (const [payload] of pending.range()) begin(payload);
      },
    };
  };
}

async function run(call: Call, calls: CallOptions = { patienceMs: 1 }): Promise<void> {
  const topology = defineTopology('manual', (t) => {
    t.stream('webhook.received')
      .process('ask', { stores: [asked, answered], calls, create: asking(call) })
      .to('event.recorded');
  });
  driver = await TopologyTestDriver.open(topology);
}

function pipe(...payloads: string[]): Promise<void> {
  const records = payloads.map((payload) => ({ key: 'k', value: webhook({ payload }) }));
  return driver.pipeAll('webhook.received', records);
}

/** A service that answers when it is told to. */
function patient() {
  const waiting = new Map<string, (answer: string) => void>();
  const calls: string[] = [];
  return {
    calls,
    call: (payload: string) => {
      calls.push(payload);
      return new Promise<string>((resolve) => void waiting.set(payload, resolve));
    },
    async answer(payload: string) {
      waiting.get(payload)?.(payload.toUpperCase());
      await delay(0);
    },
  };
}

describe('calls in the background', () => {
  it('that are back within patienceMs commit with the record that began them', async () => {
    await run(async (payload) => payload.toUpperCase(), { patienceMs: 10_000 });
    await pipe();
    const { epochs } = driver.counters();
    await pipe('a', 'b', 'a');
    expect(show(driver)).toEqual(['A', 'B']);
    expect(driver.counters().epochs).toBe(epochs + 1);
    expect(driver.entries('asked')).toEqual([]);
  });

  it('let what came behind them commit, and what they come to is taken in a later epoch', async () => {
    const service = patient();
    await run(service.call);
    await pipe('a');
    await pipe('b');
    expect(show(driver)).toEqual([]);
    expect(driver.entries('asked').map(({ key }) => key)).toEqual(['a', 'b']);
    await service.answer('b');
    await driver.advanceWallClock(SECOND);
    expect(show(driver)).toEqual(['B']);
    await service.answer('a');
    await pipe('b');
    expect(show(driver)).toEqual(['again B', 'A']);
    expect(service.calls).toEqual(['a', 'b']);
  });

  it('of one id are one call', async () => {
    const service = patient();
    await run(service.call);
    await pipe('a', 'a');
    await pipe('a');
    expect(service.calls).toEqual(['a']);
  });

  it('are made again after a crash when their answer is not committed, and not when it is', async () => {
    const service = patient();
    await run(service.call);
    await pipe('a', 'b');
    await service.answer('a');
    await driver.advanceWallClock(SECOND);
    await service.answer('b');
    driver.crashAt('before-commit');
    await driver.advanceWallClock(SECOND);
    expect(driver.pendingCrashes).toEqual([]);
    expect(service.calls).toEqual(['a', 'b', 'b']);
    await service.answer('b');
    await driver.advanceWallClock(SECOND);
    expect(show(driver)).toEqual(['A', 'B']);
    await driver.crash();
    expect(service.calls).toEqual(['a', 'b', 'b']);
  });

  it('wait for others to end when there are too many', async () => {
    let underWay = 0;
    let most = 0;
    const call: Call = async (payload) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await delay(5);
      underWay -= 1;
      return payload;
    };
    await run(call, { patienceMs: 0, maxUnderWay: 2 });
    for (const payload of ['a', 'b', 'c', 'd', 'e', 'f']) await pipe(payload);
    expect(most).toBeLessThanOrEqual(3);
    await delay(20);
    await driver.advanceWallClock(SECOND);
    expect(show(driver)).toHaveLength(6);
  });

  it('that are rejected are a bug: the task stops, with the step named', async () => {
    await run(() => Promise.reject(new TypeError('a bug')), { patienceMs: 1_000 });
    await expect(pipe('a')).rejects.toMatchObject({
      code: 'STEP_FAILED',
      message: expect.stringContaining('ask'),
    });
  });

  it('cannot be begun by a step that does not say so', async () => {
    const topology = defineTopology('manual', (t) => {
      t.stream('webhook.received')
        .process('ask', { stores: [asked, answered], create: asking(async () => '') })
        .to('event.recorded');
    });
    driver = await TopologyTestDriver.open(topology);
    await expect(pipe('a')).rejects.toMatchObject({ code: 'STEP_FAILED' });
  });
});
