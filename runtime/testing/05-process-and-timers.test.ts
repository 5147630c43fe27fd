import { afterEach, describe, expect, it } from 'vitest';
import { keyValueStore, numberSerde, type WindowStore, windowStore } from '../state/contract.ts';
import type { TableSpec, TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { tumbling } from '../topology/windows.ts';
import { MINUTE, SECOND, show, shown, T0, tenantCount, webhook, windows } from './samples.ts';
import { type TestDriverOptions, TopologyTestDriver } from './topology-test-driver.ts';

/** A manual in tests, fifth part: `process`, for what no other step does: stores, timers, tables, named outputs. */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void, options?: TestDriverOptions) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare), options);
}

afterEach(() => driver.close());

const totals = keyValueStore<number>('totals', numberSerde);

/** Adds up payloads by key. */
function adding(t: TopologyBuilder): void {
  t.stream('webhook.received')
    .process<number>('add', {
      stores: [totals],
      create: ({ store, forward }) => {
        const sums = store(totals);
        return {
          process: ({ payload }, { key }) => {
            if (payload === '') return { kind: 'drop', reason: 'nothing to add' };
            const sum = (sums.get(key) ?? 0) + Number(payload);
            sums.set(key, sum);
            forward(key, sum);
            return undefined;
          },
        };
      },
    })
    .map('show', shown)
    .to('event.recorded');
}

function pipe(payload: string, seconds = 0, key = 'k'): Promise<void> {
  return driver.pipe('webhook.received', key, webhook({ payload }), {
    timestamp: T0 + seconds * SECOND,
  });
}

describe('stores', () => {
  it('hold what was committed, through any crash', async () => {
    await run(adding);
    await pipe('1');
    await pipe('');
    await driver.crash();
    await pipe('2');
    expect(show(driver)).toEqual([1, 3]);
    expect(driver.entries('totals')).toEqual([{ partition: 0, key: 'k', value: 3 }]);
    expect(driver.store<{ get(key: string): number }>('totals').get('k')).toBe(3);
  });

  it('can be windows, too', async () => {
    const perMinute = windowStore<number>('per-minute', numberSerde);
    await run((t) => {
      t.stream('webhook.received')
        .process('count', {
          stores: [perMinute],
          create: ({ store }) => {
            const windows = store(perMinute);
            return {
              process: (_, { key, timestamp }) => {
                const start = timestamp - (timestamp % MINUTE);
                windows.set(key, start, (windows.get(key, start) ?? 0) + 1);
                return undefined;
              },
            };
          },
        })
        .ignore('only its store is looked at');
    });
    for (const seconds of [0, 30, 60]) await pipe('', seconds);
    const store = driver.store<WindowStore<number>>('per-minute');
    expect([...store.fetch('k', T0, T0 + MINUTE)].map(({ value }) => value)).toEqual([2, 1]);
  });
});

/** Says `silent` for a key that was not heard of for a minute, by event time or by the wall clock. */
function watching(kind: 'event' | 'wall') {
  return (t: TopologyBuilder) =>
    t
      .stream('webhook.received', { idleAfterMs: 10 * SECOND })
      .process<string>('watch', {
        create: ({ timers, forward, watermark }) => ({
          process: ({ payload }, { key, timestamp }) => {
            if (payload === 'cancel') timers.cancel(kind, key);
            else timers.schedule(kind, key, (kind === 'event' ? timestamp : driver.now) + MINUTE);
            return undefined;
          },
          onTimer: (key, atMs) => {
            const isDue = kind === 'wall' || watermark() >= atMs;
            forward(key, `${key} silent at ${(atMs - T0) / SECOND} s${isDue ? '' : ', too early'}`);
          },
        }),
      })
      .map('show', (text, { timestamp }) => shown([text, (timestamp - T0) / SECOND]))
      .to('event.recorded');
}

describe('event-time timers', () => {
  it('come when the watermark has come to their time, earliest first; a second one of a key replaces the first', async () => {
    await run(watching('event'));
    await pipe('', 0, 'a');
    await pipe('', 10, 'b');
    await pipe('', 20, 'a');
    await pipe('', 79, 'c');
    expect(show(driver)).toEqual([['b silent at 70 s', 70]]);
    await pipe('', 80, 'c');
    expect(show(driver)).toEqual([['a silent at 80 s', 80]]);
  });

  it('can be cancelled', async () => {
    await run(watching('event'));
    await pipe('', 0, 'a');
    await pipe('cancel', 1, 'a');
    await pipe('', 600, 'b');
    expect(show(driver)).toEqual([]);
  });

  it('are all in time for what follows, also when there are more than one epoch holds', async () => {
    const due = 12_000;
    await run((t) => {
      t.stream('webhook.received')
        .process<number>('burst', {
          create: ({ timers, forward }) => ({
            process: ({ payload }, { timestamp }) => {
              for (let n = 0; n < Number(payload); n += 1)
                timers.schedule('event', `${n}`, timestamp + MINUTE);
              return undefined;
            },
            onTimer: (key, atMs) => forward(`tenant-${Number(key) % 2}`, 1, { timestamp: atMs }),
          }),
        })
        .groupByKey()
        .window(tumbling({ sizeMs: MINUTE, graceMs: 0 }))
        .count('per-minute', { emit: 'close' })
        .map('result', tenantCount)
        .to('metric.tenant.count');
    });
    await pipe(String(due));
    // The watermark passes the timers and the end of their window at once; a record more is behind it.
    await driver.pipeAll(
      'webhook.received',
      [3_600, 7_200].map((seconds) => ({
        key: 'k',
        value: webhook({ payload: '0' }),
        timestamp: T0 + seconds * SECOND,
      })),
    );
    await driver.advanceWallClock(SECOND);
    expect(driver.deadLetters()).toEqual([]);
    expect(windows(driver).toSorted()).toEqual([
      `tenant-0 60-120 s: ${due / 2}`,
      `tenant-1 60-120 s: ${due / 2}`,
    ]);
  });

  it('survive a crash, and say the same after it', async () => {
    await run(watching('event'));
    await pipe('', 0, 'a');
    await driver.crash();
    await pipe('', 60, 'b');
    expect(show(driver)).toEqual([['a silent at 60 s', 60]]);
    await driver.crash();
    await driver.advanceWatermark(T0 + 2 * MINUTE);
    expect(show(driver)).toEqual([['b silent at 120 s', 120]]);
  });
});

describe('what a timer forwards', () => {
  it('can be late, and is dead-lettered where its task reads, although no record is behind it', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .process<number>('remind', {
          create: ({ timers, forward }) => ({
            process: (_, { key, timestamp }) => {
              timers.schedule('event', key, timestamp + MINUTE);
              return undefined;
            },
            onTimer: (key) => forward(key, 1, { timestamp: T0 - 10 * MINUTE }),
          }),
        })
        .groupByKey()
        .window(tumbling({ sizeMs: MINUTE }))
        .count('reminders')
        .ignore('a test');
    });
    await pipe('', 0);
    await driver.crash();
    await driver.advanceWatermark(T0 + 2 * MINUTE);
    const [letter] = driver.deadLetters();
    expect(letter?.info).toMatchObject({ topic: 'webhook.received', offset: '-1', code: 'LATE' });
    expect(letter?.record.value).toBeNull();
  });
});

describe('wall-clock timers', () => {
  it('come by the clock, records or none, and survive a crash', async () => {
    await run(watching('wall'));
    await pipe('', 0, 'a');
    await driver.advanceWallClock(MINUTE - 1);
    await driver.crash();
    expect(show(driver)).toEqual([]);
    await driver.advanceWallClock(1);
    expect(show(driver)).toEqual([['a silent at 60 s', 60]]);
    await driver.advanceWallClock(MINUTE);
    expect(show(driver)).toEqual([]);
  });

  it('one that schedules itself again comes as often as its time has come', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .process<number>('clock', {
          create: ({ timers, forward }) => ({
            process: (_, { key }) => {
              timers.schedule('wall', key, driver.now + SECOND);
              return undefined;
            },
            onTimer: (key, atMs) => {
              forward(key, atMs - T0);
              timers.schedule('wall', key, atMs + SECOND);
            },
          }),
        })
        .map('show', shown)
        .to('event.recorded');
    });
    await pipe('');
    await driver.advanceWallClock(3_500);
    expect(show(driver)).toEqual([1_000, 2_000, 3_000]);
  });
});

describe('around records', () => {
  it('endEpoch forwards what was gathered in the epoch, before it commits', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .process<number>('sum', {
          create: ({ forward }) => {
            let sum = 0;
            return {
              process: ({ payload }) => {
                sum += Number(payload);
                return undefined;
              },
              endEpoch: () => {
                if (sum > 0) forward('sum', sum);
                sum = 0;
              },
            };
          },
        })
        .map('show', shown)
        .to('event.recorded');
    });
    const values = ['1', '2', '3'].map((payload) => ({ key: 'k', value: webhook({ payload }) }));
    await driver.pipeAll('webhook.received', values);
    await pipe('4');
    expect(show(driver)).toEqual([6, 4]);
  });

  it('named outputs lead to different places', async () => {
    await run((t) => {
      const sizes = t.stream('webhook.received').process<number, { large: number }>('size', {
        outputs: ['large'],
        create: ({ forward, forwardTo }) => ({
          process: ({ payload }, { key }) => {
            if (payload.length > 3) forwardTo('large', key, payload.length);
            else forward(key, payload.length, { headers: { size: 'small' } });
            return undefined;
          },
        }),
      });
      sizes.map('small', (n) => shown(`small ${n}`)).to('event.recorded');
      sizes
        .output('large')
        .map('large', (n) => shown(`large ${n}`))
        .to('event.recorded');
    });
    await pipe('abc');
    await pipe('abcd');
    const written = driver.read('event.recorded');
    expect(written.map(({ value, headers }) => [value?.payload, headers['size']])).toEqual([
      ['"small 3"', 'small'],
      ['"large 4"', undefined],
    ]);
  });

  it('changes of a table that each process holds are told, and what is done then commits', async () => {
    const companies: TableSpec<'cdc.public.companies', string> = {
      topic: 'cdc.public.companies',
      toRow: ({ after }) =>
        after === null ? undefined : { key: String(after.id), row: after.name ?? '' },
    };
    const known = keyValueStore<string>('known', { encode: Buffer.from, decode: String });
    await run((t) => {
      t.stream('webhook.received')
        .process<string>('names', {
          stores: [known],
          tables: [companies],
          create: ({ store, table, forward }) => ({
            process: ({ entity_id }, { key }) => {
              store(known).set(entity_id, key);
              return undefined;
            },
            onTableChange: (_, id) => {
              const key = store(known).get(id);
              if (key !== undefined) forward(key, table(companies).get(id) ?? 'gone');
            },
          }),
        })
        .map('show', (name, { key }) => shown([key, name]))
        .to('event.recorded');
    });
    await driver.pipe('webhook.received', 'k', webhook({ entity_id: '7' }));
    await driver.setTable('cdc.public.companies', '7', 'Acme');
    await driver.setTable('cdc.public.companies', '8', 'nobody asks');
    await driver.crash();
    await driver.setTable('cdc.public.companies', '7', undefined);
    expect(show(driver)).toEqual([
      ['k', 'Acme'],
      ['k', 'gone'],
    ]);
  });

  it('onStart sees the restored state, and can repair it', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .process<number>('start', {
          stores: [totals],
          create: ({ store, forward }) => ({
            onStart: () => forward('started with', store(totals).get('k') ?? 0),
            process: ({ payload }, { key }) => {
              store(totals).set(key, Number(payload));
              return undefined;
            },
          }),
        })
        .map('show', shown)
        .to('event.recorded');
    });
    await pipe('5');
    await driver.crash();
    expect(show(driver)).toEqual([0, 5]);
  });
});
