import { beforeAll, describe, expect, it } from 'vitest';
import type { KafkaRecord } from '../kafka/record.ts';
import { storesOf, TaskState } from '../state/task-state.ts';
import { MemoryCodec } from '../testing/memory-codec.ts';
import { emptyBackend } from '../testing/memory-task.ts';
import { SECOND, shown, T0, webhook } from '../testing/samples.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { retryLater } from '../topology/outcome.ts';
import { TaskCore } from './core.ts';
import { newTaskCounters } from './counters.ts';
import { RetryLater } from './stops.ts';

let codec: MemoryCodec;

beforeAll(async () => {
  codec = await MemoryCodec.create();
});

interface Written {
  readonly topic: string;
  readonly partition: number;
  readonly timestamp: number;
}

/** The core of one task, with what it writes; `reads` says which of its topics it has a partition of. */
async function coreOf(declare: (t: TopologyBuilder) => void, reads = (_topic: string) => true) {
  const [sub] = defineTopology('core', declare).subTopologies;
  if (sub === undefined) throw new Error('no sub-topology');
  const specs = sub.nodes.flatMap(({ stores }) => stores);
  expect(storesOf(specs).length).toBeGreaterThan(0);
  const state = new TaskState(specs, emptyBackend('core', sub, 0));
  const written: Written[] = [];
  const counters = newTaskCounters();
  let now = T0;
  let offset = 0n;
  const core = new TaskCore({
    pipeline: 'core',
    sub,
    partition: 0,
    codec: codec.codec,
    state,
    tables: new Map(),
    counters,
    channelsOf: () => 1,
    now: () => now,
    reads,
    output: {
      partitionFor: () => 0,
      partitionsOf: () => 1,
      append: (topic, partition, _key, _value, timestamp) =>
        void written.push({ topic, partition, timestamp }),
      appendWith: (topic, partition, _key, timestamp) =>
        void written.push({ topic, partition, timestamp }),
    },
  });
  core.start();
  const record = async (payload: string, seconds: number): Promise<KafkaRecord> => {
    const value = codec.encode('webhook.received', webhook({ payload }));
    await codec.codec.load('webhook.received', [value]);
    const timestamp = T0 + seconds * SECOND;
    return { offset: offset++, timestamp, key: Buffer.from('k'), value, headers: {} };
  };
  return {
    core,
    state,
    written,
    counters,
    process: async (payload: string, seconds = 0) =>
      core.process('webhook.received', await record(payload, seconds)),
    pass: (ms: number, isAtEnd = true) => {
      now += ms;
      core.tick(() => isAtEnd);
    },
  };
}

const simple = (t: TopologyBuilder) =>
  t
    .stream('webhook.received')
    .map('show', ({ payload }) => shown(payload))
    .to('event.recorded');

/** A step with a timer: its task follows event time. */
const timed =
  (onTimer: () => void, idleAfterMs = 10 * SECOND) =>
  (t: TopologyBuilder) =>
    t
      .stream('webhook.received', { idleAfterMs, disorderMs: SECOND })
      .process('timer', {
        create: ({ timers }) => ({
          process: (_, { key, timestamp }) => {
            timers.schedule('event', key, timestamp + 60 * SECOND);
            return undefined;
          },
          onTimer,
        }),
      })
      .ignore('a test');

describe('TaskCore', () => {
  it('writes to its epoch, with the time of its input record', async () => {
    const { process, written, counters } = await coreOf(simple);
    await process('x', 5);
    expect(written).toEqual([
      { topic: 'event.recorded', partition: 0, timestamp: T0 + 5 * SECOND },
    ]);
    expect(counters).toMatchObject({ recordsIn: 1, dropped: 0, deadLettered: 0 });
  });

  it('refuses a topic that it does not read', async () => {
    const { core } = await coreOf(simple);
    const record = { offset: 0n, timestamp: 0, key: null, value: null, headers: {} };
    expect(() => core.process('contact.golden', record)).toThrow('does not read contact.golden');
  });

  it('moves its watermark behind each record by the disorder, and keeps it with the state', async () => {
    const { core, process, state } = await coreOf(timed(() => undefined));
    await process('', 10);
    expect(core.watermark).toBe(T0 + 9 * SECOND);
    core.saveWatermarks();
    expect(state.getMeta('channel-watermarks')?.readDoubleLE(0)).toBe(T0 + 9 * SECOND);
  });

  it('has no channel for a topic that has no partition for it: the others set the watermark', async () => {
    const both = (t: TopologyBuilder) => {
      const hooks = t.stream('webhook.received').map('a', () => 1);
      const contacts = t.stream('contact.golden').map('b', () => 2);
      hooks
        .merge('all', contacts)
        .process('timers', { create: () => ({ process: () => undefined }) })
        .ignore('a test');
    };
    const whole = await coreOf(both);
    await whole.process('', 10);
    expect(whole.core.watermark).toBe(Number.NEGATIVE_INFINITY);
    const part = await coreOf(both, (topic) => topic === 'webhook.received');
    await part.process('', 10);
    expect(part.core.watermark).toBe(T0 + 10 * SECOND);
  });

  it('lets a source become idle only at its end, and after its time', async () => {
    let fired = 0;
    const { core, process, pass } = await coreOf(
      timed(() => {
        fired += 1;
      }),
    );
    await process('', 0);
    core.seen('webhook.received', false, true);
    pass(3_600 * SECOND);
    expect([fired, core.watermark]).toEqual([0, T0 - SECOND]);
    core.seen('webhook.received', true, true);
    pass(9 * SECOND);
    expect(fired).toBe(0);
    pass(SECOND);
    expect([fired, core.watermark]).toEqual([1, T0 + 3_599 * SECOND]);
  });

  it('takes silence for nothing while a source is not fetched: what comes then is not late', async () => {
    const { core, process, pass } = await coreOf(timed(() => undefined));
    await process('', 0);
    core.seen('webhook.received', true, true);
    const before = core.watermark;
    pass(3_600 * SECOND, false);
    expect(core.watermark).toBe(before);
    pass(SECOND, true);
    expect(core.watermark).toBeGreaterThan(before);
  });

  it('names the step of what throws outside of a record, too', async () => {
    const { core, process, pass } = await coreOf(
      timed(() => {
        throw new Error('a bug');
      }),
    );
    await process('', 0);
    core.seen('webhook.received', true, true);
    expect(() => pass(3_600 * SECOND)).toThrow(
      expect.objectContaining({ code: 'STEP_FAILED', message: 'step core.timer threw: a bug' }),
    );
  });

  it('throws RetryLater with the record that is to be tried again', async () => {
    const { process } = await coreOf((t) =>
      t
        .stream('webhook.received')
        .step('wait', () => retryLater(7))
        .ignore('a test'),
    );
    const error: unknown = await process('').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RetryLater);
    expect(error).toMatchObject({ afterMs: 7, source: { topic: 'webhook.received' } });
  });
});
