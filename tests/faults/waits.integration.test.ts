import { afterEach, describe, expect, it } from 'vitest';
import type { Sink } from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { describeGroups } from '../../runtime/kafka/admin.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { partitionOfKey } from '../../runtime/kafka/murmur2.ts';
import { shown, webhook } from '../../runtime/testing/samples.ts';
import { defineTopology } from '../../runtime/topology/builder.ts';
import { ok, retryLater } from '../../runtime/topology/outcome.ts';
import type { EventRecorded } from '../../schemas/types.ts';
import { type InProcess, inProcess } from '../support/in-process.ts';
import { decodedTopic, eventually } from '../support/kafka.ts';

const INPUT = 'webhook.received';
const PARTITIONS = 4;
const WAVES = 5;
const WAVE = 400;

let running: InProcess | undefined;

async function open(...args: Parameters<typeof inProcess>): Promise<InProcess> {
  running = await inProcess(...args);
  return running;
}

afterEach(async () => {
  await running?.close();
  running = undefined;
});

/** A key of each partition. */
const KEYS = Array.from({ length: PARTITIONS }, (_, partition) => {
  let n = 0;
  while (partitionOfKey(`k${n}`, PARTITIONS) !== partition) n += 1;
  return `k${n}`;
});

function publish({ publisher }: InProcess, partition: number, payload: string): Promise<unknown> {
  const value = webhook({ payload });
  return publisher.publish(INPUT, { key: KEYS[partition] ?? '', value });
}

async function come({ client, codec }: InProcess): Promise<string[]> {
  const values = await decodedTopic(client, codec, 'event.recorded');
  return values.map(({ payload }) => String(JSON.parse(payload)));
}

describe('a partition that waits', () => {
  it('holds no other up: the others are fetched and processed while one waits for its next try', async () => {
    let asked = 0;
    const topology = defineTopology('waiting', (t) => {
      t.stream(INPUT)
        .step('gate', ({ payload }) => {
          if (payload !== 'stop') return ok(shown(payload));
          asked += 1;
          return retryLater(60_000);
        })
        .to('event.recorded');
    });
    const all = await open(topology);
    await all.engine.start();
    await all.engine.whenRunning();
    await publish(all, 0, 'before');
    await publish(all, 0, 'stop');
    await publish(all, 0, 'behind');
    await eventually('it waits', () => asked > 0);
    // Each wave is fetched after the one before has come out.
    for (let wave = 1; wave <= WAVES; wave += 1) {
      await Promise.all(
        Array.from({ length: WAVE }, (_, n) => publish(all, 1 + (n % 3), `${wave}/${n}`)),
      );
      await eventually(`wave ${wave}`, async () => (await come(all)).length > wave * WAVE);
    }
    const out = await come(all);
    expect(out.filter((payload) => payload.includes('/'))).toHaveLength(WAVES * WAVE);
    expect([out.includes('before'), out.includes('behind'), asked]).toEqual([true, false, 1]);
  });

  it('goes on in order when its time has come, as often as it has to wait', async () => {
    let refusals = 3;
    const topology = defineTopology('again', (t) => {
      t.stream(INPUT)
        .step('gate', ({ payload }) => {
          if (payload !== '2' || refusals === 0) return ok(shown(payload));
          refusals -= 1;
          return retryLater(300);
        })
        .to('event.recorded');
    });
    const all = await open(topology);
    await all.engine.start();
    for (const payload of ['1', '2', '3']) await publish(all, 0, payload);
    await eventually('all come out', async () => (await come(all)).length >= 3);
    expect(await come(all)).toEqual(['1', '2', '3']);
    expect([refusals, all.slot(0)?.restarts]).toEqual([0, 0]);
  });
});

describe('a task', () => {
  it('whose input ends before its committed position is refused; the others run', async () => {
    const topology = defineTopology('replaced', (t) => {
      t.stream(INPUT)
        .map('show', ({ payload }) => shown(payload))
        .to('event.recorded');
    });
    const all = await open(topology);
    await all.engine.prepare();
    const group = `replaced.${INPUT}`;
    const name = topology.subTopologies[0]?.name ?? '';
    const producer = await EpochProducer.open(all.client, `${group}.test`);
    const offset = { group: `replaced.${name}`, topic: INPUT, partition: 2, nextOffset: 100n };
    await producer.commit(producer.begin(), [offset]);
    await producer.close();
    await all.engine.start();
    await eventually('it is refused', () => all.slot(2)?.life === 'failed');
    expect(all.slot(2)?.failure).toMatchObject({ code: 'INPUT_REPLACED', domain: 'user' });
    await publish(all, 1, 'goes on');
    await eventually('the others run', async () => (await come(all)).includes('goes on'));
  });

  it('ends what it does besides batches before its member joins the group again', async () => {
    const gate = Promise.withResolvers<void>();
    const calls: string[] = [];
    const topology = defineTopology('drained', (t) => {
      t.stream(INPUT)
        .process<string>('timer', {
          create: ({ timers, forward }) => ({
            process: (_, { key }) => {
              timers.schedule('wall', key, 0);
              return undefined;
            },
            onTimer: (key) => {
              timers.schedule('wall', key, Date.now() + 100);
              forward(key, key);
            },
          }),
        })
        .asyncMap<EventRecorded>('slow', {}, async (key) => {
          calls.push(key);
          await gate.promise;
          return ok(shown(key));
        })
        .to('event.recorded');
    });
    const all = await open(topology);
    await all.engine.start();
    await all.engine.whenRunning();
    await publish(all, 0, 'x');
    await eventually('the timer has fired', () => calls.length > 0);
    let isDrained = false;
    const [runner] = all.engine.runners;
    const drained = runner?.onRebalance().then(() => {
      isDrained = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(isDrained).toBe(false);
    gate.resolve();
    await drained;
    const { length } = calls;
    expect(all.slot(0)?.task?.committedPositions.get(INPUT)).toBe(1n);
    // Two ticks' time: none begins anything until the member has joined.
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(calls).toHaveLength(length);
  });
});

describe('an engine that cannot start', () => {
  it('leaves no member in a group', async () => {
    const topology = defineTopology('orphan', (t) => {
      t.stream(INPUT)
        .map('show', ({ payload }) => shown(payload))
        .to('event.recorded');
    });
    const refusing: Sink = {
      name: 'refusing',
      topics: ['event.recorded'],
      limits: { records: 1, bytes: 1_000, lingerMs: 0 },
      writers: 1,
      mode: 'idempotent',
      open: async () => {
        throw new ReachflowError('never', { code: 'SINK_REFUSED', domain: 'user' });
      },
      write: async () => [],
      close: async () => undefined,
    };
    const all = await open(topology, { sinks: [refusing] });
    await expect(all.engine.start()).rejects.toMatchObject({ code: 'SINK_REFUSED' });
    await all.engine.stop();
    const group = all.engine.runners[0]?.name ?? '';
    // A member that was about to join would be there by now.
    for (let look = 0; look < 10; look += 1) {
      const [status] = await describeGroups(all.client, [group]);
      expect(status?.members).toEqual([]);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });
});
