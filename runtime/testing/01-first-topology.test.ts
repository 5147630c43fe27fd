import { afterEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import type { TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { dlq, drop, ok, redirect, retryLater } from '../topology/outcome.ts';
import { event, SECOND, show, shown, T0, webhook } from './samples.ts';
import { type TestDriverOptions, TopologyTestDriver } from './topology-test-driver.ts';

/**
 * A manual in tests, first part: steps that look at one record at a time. `TopologyTestDriver` runs a topology as
 * production does, but in this process, without a broker, by a clock that stands still.
 */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void, options?: TestDriverOptions) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare), options);
  return driver;
}

afterEach(() => driver.close());

describe('a first topology', () => {
  it('reads a topic, changes what it reads, and writes another topic', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .filter('pushes', ({ event_type }) => event_type === 'push')
        .map('to-event', ({ event_id, tenant_id }) => event({ event_id, tenant_id }))
        .to('event.recorded');
    });
    await driver.pipe('webhook.received', 't:repo', webhook({ event_id: 'gh:1' }));
    await driver.pipe('webhook.received', 't:repo', webhook({ event_type: 'star' }));
    expect(driver.read('event.recorded')).toEqual([
      {
        key: 't:repo',
        value: event({ event_id: 'gh:1' }),
        timestamp: T0,
        partition: 0,
        headers: {},
      },
    ]);
    // `read` gives what is new; `readAll` everything.
    expect(driver.read('event.recorded')).toEqual([]);
    expect(driver.readAll('event.recorded')).toHaveLength(1);
  });

  it('counts what each step did', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .filter('pushes', ({ event_type }) => event_type === 'push')
        .ignore('an example');
    });
    await driver.pipeAll('webhook.received', [
      { key: 'a', value: webhook() },
      { key: 'b', value: webhook({ event_type: 'star' }) },
    ]);
    const { recordsIn, epochs, steps } = driver.counters();
    expect({ recordsIn, epochs }).toEqual({ recordsIn: 2, epochs: 1 });
    expect(steps.get('pushes')?.dropped).toEqual(new Map([['filtered', 1]]));
  });

  it('keeps key, event time and partition of what it maps; another key, value or header is said', async () => {
    await run(
      (t) => {
        t.stream('webhook.received', { timestamp: ({ occurred_at }, at) => occurred_at ?? at })
          .map('to-event', () => event())
          .to('event.recorded', {
            key: ({ tenant_id }) => tenant_id,
            value: (value, { timestamp }) => ({ ...value, occurred_at: timestamp }),
          });
      },
      { partitions: { 'event.recorded': 4 } },
    );
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await driver.pipe('webhook.received', 'x', webhook({ occurred_at: T0 - SECOND }), {
      headers: { traceparent: trace, other: 'not passed on' },
    });
    const [written] = driver.read('event.recorded');
    expect(written).toMatchObject({
      key: 't',
      // Kafka's timestamp stays that of the input: brokers delete by it, and an old event is not an old record.
      timestamp: T0,
      headers: { traceparent: trace },
    });
    expect(written?.value?.occurred_at).toBe(T0 - SECOND);
    expect(written?.headers['other']).toBeUndefined();
    // The partition that every Kafka producer with the default partitioner chooses for this key.
    expect(written?.partition).toBe(1);
  });
});

describe('one record to several places', () => {
  it('flatMap makes none, one or several of each', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .flatMap('parts', ({ payload }) => JSON.parse(payload) as number[])
        .map('show', shown)
        .to('event.recorded');
    });
    await driver.pipe('webhook.received', 'k', webhook({ payload: '[1,2]' }));
    await driver.pipe('webhook.received', 'k', webhook({ payload: '[]' }));
    await driver.pipe('webhook.received', 'k', webhook({ payload: '[3]' }));
    expect(show(driver)).toEqual([1, 2, 3]);
  });

  it('branch sends each record to the first branch that takes it, else to rest; merge brings streams together', async () => {
    await run((t) => {
      const { pushes, stars, rest } = t.stream('webhook.received').branch('by-type', {
        pushes: ({ event_type }) => event_type.startsWith('push'),
        stars: ({ event_type }) => event_type !== 'fork',
      });
      const few = stars.map('star', ({ event_type }) => shown(`star: ${event_type}`));
      pushes
        .map('push', ({ event_type }) => shown(`push: ${event_type}`))
        .merge('both', few)
        .to('event.recorded');
      rest.ignore('forks are of no interest');
    });
    for (const event_type of ['push', 'star', 'fork', 'push-force'])
      await driver.pipe('webhook.received', 'k', webhook({ event_type }));
    expect(show(driver)).toEqual(['push: push', 'star: star', 'push: push-force']);
  });

  it('a stream can have several steps behind it: each gets every record', async () => {
    await run((t) => {
      const hooks = t.stream('webhook.received');
      hooks.map('first', () => shown(1)).to('event.recorded');
      hooks.map('second', () => shown(2)).to('event.recorded');
    });
    await driver.pipe('webhook.received', 'k', webhook());
    expect(show(driver)).toEqual([1, 2]);
  });

  it('selectKey changes the key: what comes behind an aggregate or a join goes to the task of the new key', async () => {
    await run(
      (t) => {
        t.stream('webhook.received')
          .selectKey('by-source', ({ source }) => source)
          .groupByKey()
          .count('per-source')
          .toStream()
          .map('show', (count, { key }) => shown([key, count]))
          .to('event.recorded');
      },
      { partitions: 4 },
    );
    for (const key of ['a', 'b', 'c', 'd']) await driver.pipe('webhook.received', key, webhook());
    expect(show(driver)).toEqual([
      ['gh', 1],
      ['gh', 2],
      ['gh', 3],
      ['gh', 4],
    ]);
  });
});

describe('what a step says of a record', () => {
  const error = new ReachflowError('no tenant', { code: 'VALIDATION', domain: 'user' });

  function outcomes(t: TopologyBuilder): void {
    const checked = t.stream('webhook.received').step<string, { odd: number }>(
      'check',
      ({ event_type, payload }) => {
        if (event_type === 'ok') return ok(payload);
        if (event_type === 'drop') return drop('a test');
        if (event_type === 'dlq') return dlq(error, 't');
        return redirect('odd', payload.length);
      },
      ['odd'],
    );
    checked.map('show', (payload) => shown(`ok ${payload}`)).to('event.recorded');
    checked
      .output('odd')
      .map('show-odd', (length) => shown(`odd ${length}`))
      .to('event.recorded');
  }

  it('ok goes on, drop is counted, redirect goes to a named output', async () => {
    await run(outcomes);
    for (const event_type of ['ok', 'drop', 'other'])
      await driver.pipe('webhook.received', 'k', webhook({ event_type }));
    expect(show(driver)).toEqual(['ok {}', 'odd 2']);
    expect(driver.counters().steps.get('check')?.dropped).toEqual(new Map([['a test', 1]]));
  });

  it('dlq keeps the record as it was, with the reason in headers', async () => {
    await run(outcomes);
    await driver.pipe('webhook.received', 'k', webhook({ event_type: 'dlq' }));
    const [letter, ...others] = driver.deadLetters();
    expect(others).toEqual([]);
    expect(letter?.info).toMatchObject({
      topic: 'webhook.received',
      partition: 0,
      offset: '0',
      consumer: 'manual',
      step: 'check',
      code: 'VALIDATION',
      message: 'no tenant',
      tenant: 't',
    });
    expect(letter?.record.key?.toString()).toBe('k');
  });

  it('what cannot be decoded is dead-lettered before any step sees it', async () => {
    await run(outcomes);
    await driver.pipeBytes('webhook.received', Buffer.from('k'), Buffer.from('no Avro'));
    await driver.pipe('webhook.received', 'k', webhook({ event_type: 'ok' }));
    expect(driver.deadLetters().map(({ info }) => [info.step, info.code])).toEqual([
      ['decode', 'UNDECODABLE'],
    ]);
    expect(show(driver)).toEqual(['ok {}']);
  });

  it('a tombstone is dropped, unless the stream wants them', async () => {
    await run((t) => {
      t.stream('webhook.received', { name: 'values' })
        .map('never', () => shown('a value'))
        .to('event.recorded');
      t.streamWithTombstones('contact.golden')
        .map('show', (value, { key }) => shown([key, value === null]))
        .to('event.recorded');
    });
    await driver.pipeTombstone('webhook.received', 'k');
    await driver.pipeTombstone('contact.golden', '7');
    expect(show(driver)).toEqual([['7', true]]);
  });

  it('retry stands at the record until its time has come; nothing overtakes it', async () => {
    let open = false;
    await run((t) => {
      t.stream('webhook.received')
        .step('gate', ({ payload }) =>
          open || payload !== '2' ? ok(shown(payload)) : retryLater(5 * SECOND),
        )
        .to('event.recorded');
    });
    const values = ['1', '2', '3'].map((payload) => ({ key: 'k', value: webhook({ payload }) }));
    await driver.pipeAll('webhook.received', values);
    expect(show(driver)).toEqual(['1']);
    await driver.advanceWallClock(5 * SECOND);
    expect(show(driver)).toEqual([]);
    open = true;
    await driver.advanceWallClock(4 * SECOND);
    expect(show(driver)).toEqual([]);
    await driver.advanceWallClock(SECOND);
    expect(show(driver)).toEqual(['2', '3']);
  });
});

describe('a step that throws', () => {
  it('stops its task with the record named; other tasks go on', async () => {
    let fixed = false;
    await run(
      (t) => {
        t.stream('webhook.received')
          .map('parse', ({ payload }) => {
            if (!fixed && payload === '{') throw new SyntaxError('unexpected end');
            return shown(payload);
          })
          .to('event.recorded');
      },
      { partitions: { 'webhook.received': 2 } },
    );
    const bad = { key: 'bad', value: webhook({ payload: '{' }), partition: 0 };
    await expect(driver.pipeAll('webhook.received', [bad])).rejects.toMatchObject({
      code: 'STEP_FAILED',
      message: 'step manual.parse threw on webhook.received[0]@0, key "bad": unexpected end',
    });
    await driver.pipe('webhook.received', 'x', webhook({ payload: '0' }), { partition: 0 });
    await driver.pipe('webhook.received', 'y', webhook({ payload: '1' }), { partition: 1 });
    expect(show(driver)).toEqual(['1']);
    // The step is mended, and the process started again: it goes on where it stood.
    fixed = true;
    await driver.crash();
    expect(show(driver)).toEqual(['{', '0']);
  });

  it('is what a value that does not fit the output topic comes to', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .map('wrong', () => event({ occurred_at: 'yesterday' as unknown as number }))
        .to('event.recorded');
    });
    await expect(driver.pipe('webhook.received', 'k', webhook())).rejects.toMatchObject({
      code: 'STEP_FAILED',
      cause: { code: 'SCHEMA_MISMATCH' },
    });
  });
});
