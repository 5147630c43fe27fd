import { afterEach, describe, expect, it } from 'vitest';
import { numberSerde, textSerde } from '../state/contract.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { contact, event, MINUTE, SECOND, show, shown, T0, webhook } from './samples.ts';
import { type TestDriverOptions, TopologyTestDriver } from './topology-test-driver.ts';

/** A manual in tests, second part: steps that remember. What they know is in stores, and survives any crash. */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void, options?: TestDriverOptions) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare), options);
}

afterEach(() => driver.close());

/** Pipes webhooks whose payloads are numbers, as one batch. */
async function pipeNumbers(key: string, ...numbers: number[]): Promise<void> {
  const records = numbers.map((n) => ({ key, value: webhook({ payload: String(n) }) }));
  await driver.pipeAll('webhook.received', records);
}

describe('dedup', () => {
  const byId = (t: TopologyBuilder) =>
    t
      .stream('webhook.received')
      .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE })
      .map('show', ({ event_id }) => shown(event_id))
      .to('event.recorded');

  it('passes the first record of each id, and drops the others', async () => {
    await run(byId);
    for (const event_id of ['1', '2', '1'])
      await driver.pipe('webhook.received', 'k', webhook({ event_id }));
    expect(show(driver)).toEqual(['1', '2']);
    expect(driver.counters().steps.get('once')?.dropped).toEqual(new Map([['duplicate', 1]]));
    expect(driver.entries('once')).toEqual([
      { partition: 0, key: '1', value: 1, at: T0 },
      { partition: 0, key: '2', value: 1, at: T0 },
    ]);
  });

  it('remembers through a crash, until the TTL is over in event time', async () => {
    await run(byId);
    const at = (seconds: number) => ({ timestamp: T0 + seconds * SECOND });
    await driver.pipe('webhook.received', 'k', webhook(), at(0));
    await driver.crash();
    await driver.pipe('webhook.received', 'k', webhook(), at(59));
    expect(show(driver)).toEqual(['gh:1']);
    await driver.pipe('webhook.received', 'k', webhook(), at(60));
    expect(show(driver)).toEqual(['gh:1']);
  });

  it('takes another time for the TTL when told, and lets records without an id pass', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .dedup('once', {
          id: ({ event_id }) => event_id,
          ttlMs: MINUTE,
          time: ({ occurred_at }) => occurred_at ?? 0,
        })
        .map('show', ({ occurred_at }) => shown(occurred_at))
        .to('event.recorded');
    });
    for (const occurred_at of [T0, T0 + MINUTE - 1, T0 + MINUTE])
      await driver.pipe('webhook.received', 'k', webhook({ occurred_at }));
    for (const occurred_at of [1, 1])
      await driver.pipe('webhook.received', 'k', webhook({ event_id: '', occurred_at }));
    expect(show(driver)).toEqual([T0, T0 + MINUTE, 1, 1]);
  });
});

describe('aggregates since the beginning', () => {
  it('groupByKey().count() counts per key, and emits each key that changed once per epoch', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .groupByKey()
        .count('per-key')
        .toStream()
        .map('show', (count, { key }) => shown(`${key}: ${count}`))
        .to('event.recorded');
    });
    await driver.pipeAll('webhook.received', [
      { key: 'a', value: webhook() },
      { key: 'a', value: webhook() },
      { key: 'b', value: webhook() },
    ]);
    await driver.pipe('webhook.received', 'a', webhook());
    expect(show(driver)).toEqual(['a: 2', 'b: 1', 'a: 3']);
  });

  it('groupBy another key goes through a repartition topic: one entry per key and epoch, not per record', async () => {
    await run(
      (t) => {
        t.stream('webhook.received')
          .groupBy(({ tenant_id }) => tenant_id)
          .count('per-tenant')
          .toStream()
          .map('show', (count, { key }) => shown(`${key}: ${count}`))
          .to('event.recorded');
      },
      { partitions: 4 },
    );
    const many = Array.from({ length: 100 }, () => ({ key: 'k', value: webhook() }));
    await driver.pipeAll('webhook.received', many);
    expect(show(driver)).toEqual(['t: 100']);
    expect(driver.counters().steps.get('per-tenant')?.in).toBe(1);
    // Wherever its webhooks come in, a tenant is counted in one place.
    for (const partition of [0, 1, 2, 3])
      await driver.pipe('webhook.received', 'k', webhook(), { partition });
    expect(show(driver)).toEqual(['t: 101', 't: 102', 't: 103', 't: 104']);
    expect(driver.entries('per-tenant')).toMatchObject([{ key: 't', value: 104 }]);
  });

  it('reduce makes two values into one', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .map('number', ({ payload }) => Number(payload))
        .groupByKey({ serde: numberSerde })
        .reduce('largest', Math.max)
        .toStream()
        .map('show', shown)
        .to('event.recorded');
    });
    for (const n of [3, 1, 4, 1]) await pipeNumbers('k', n);
    expect(show(driver)).toEqual([3, 3, 4, 4]);
  });

  const average = {
    init: () => ({ sum: 0, count: 0 }),
    add: ({ sum, count }: { sum: number; count: number }, n: number) => ({
      sum: sum + n,
      count: count + 1,
    }),
  };
  const merge = (a: { sum: number; count: number }, b: { sum: number; count: number }) => ({
    sum: a.sum + b.sum,
    count: a.count + b.count,
  });

  for (const [name, aggregator] of [
    ['with merge is combined before the repartition topic', { ...average, merge }],
    ['without merge travels value by value', average],
  ] as const) {
    it(`aggregate ${name}`, async () => {
      await run(
        (t) => {
          t.stream('webhook.received')
            .map('number', ({ payload }) => Number(payload))
            .groupBy(() => 'all')
            .aggregate('average', aggregator)
            .toStream()
            .map('show', (all) => shown(all === null ? null : all.sum / all.count))
            .to('event.recorded');
        },
        { partitions: 2 },
      );
      await pipeNumbers('a', 1, 2, 3);
      await pipeNumbers('b', 10);
      await driver.crash();
      await pipeNumbers('c', 9);
      expect(show(driver)).toEqual([2, 4, 5]);
      const entries = driver.counters().steps.get('average')?.in;
      expect(entries).toBe(1);
    });
  }
});

describe('tables', () => {
  it('toTable keeps the newest value of each key; its changes are a stream', async () => {
    await run((t) => {
      t.streamWithTombstones('contact.golden')
        .map('name', (value) => value?.full_name ?? null)
        .toTable('names')
        .toStream()
        .map('show', (name, { key }) => shown([key, name]))
        .to('event.recorded');
    });
    await driver.pipe('contact.golden', '1', contact());
    await driver.pipe('contact.golden', '2', contact({ full_name: 'Grace Hopper' }));
    await driver.pipeTombstone('contact.golden', '1');
    expect(show(driver)).toEqual([
      ['1', 'Ada Lovelace'],
      ['2', 'Grace Hopper'],
      ['1', null],
    ]);
    expect(driver.entries('names')).toEqual([{ partition: 0, key: '2', value: 'Grace Hopper' }]);
  });

  it('is kept by the key that its stream was given', async () => {
    await run(
      (t) => {
        t.stream('webhook.received')
          .map('payload', ({ payload }) => payload)
          .selectKey('by-payload', (payload) => payload, { serde: textSerde })
          .toTable('payloads', textSerde)
          .toStream()
          .ignore('only its rows are looked at');
      },
      { partitions: 3 },
    );
    for (const payload of ['x', 'y', 'x'])
      await driver.pipe('webhook.received', 'k', webhook({ payload }));
    const rows = driver.entries('payloads').map(({ key, value }) => [key, value]);
    expect(rows.toSorted()).toEqual([
      ['x', 'x'],
      ['y', 'y'],
    ]);
  });
});

describe('state', () => {
  it('is each partition’s own, and each task’s alone', async () => {
    await run(
      (t) => {
        t.stream('webhook.received')
          .dedup('once', { id: ({ event_id }) => event_id, ttlMs: MINUTE })
          .map('to-event', () => event())
          .to('event.recorded');
      },
      { partitions: 2 },
    );
    await driver.pipe('webhook.received', 'k', webhook(), { partition: 0 });
    await driver.pipe('webhook.received', 'k', webhook(), { partition: 1 });
    expect(driver.read('event.recorded')).toHaveLength(2);
    expect(driver.entries('once').map(({ partition }) => partition)).toEqual([0, 1]);
  });
});
