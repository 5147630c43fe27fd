import { afterEach, describe, expect, it } from 'vitest';
import type { TableSpec, TopologyBuilder } from '../topology/api.ts';
import { defineTopology } from '../topology/builder.ts';
import { tumbling } from '../topology/windows.ts';
import { contact, event, MINUTE, SECOND, show, shown, T0, webhook } from './samples.ts';
import { type TestDriverOptions, TopologyTestDriver } from './topology-test-driver.ts';

/** A manual in tests, fourth part: streams and tables brought together. */

let driver: TopologyTestDriver;

async function run(declare: (t: TopologyBuilder) => void, options?: TestDriverOptions) {
  driver = await TopologyTestDriver.open(defineTopology('manual', declare), options);
}

afterEach(() => driver.close());

const named = (full_name: string) => contact({ full_name });

describe('a stream with a table', () => {
  it('join takes the row of the record’s key as it is now; a record without a row is dropped', async () => {
    await run((t) => {
      const contacts = t.table('contact.golden');
      t.stream('webhook.received')
        .join('with-contact', contacts, ({ event_id }, { full_name }) =>
          shown([event_id, full_name]),
        )
        .to('event.recorded');
    });
    await driver.pipe('webhook.received', '1', webhook({ event_id: 'too early' }));
    await driver.pipe('contact.golden', '1', named('Ada'));
    await driver.pipe('webhook.received', '1', webhook({ event_id: 'a' }));
    await driver.pipe('contact.golden', '1', named('Grace'));
    await driver.pipe('webhook.received', '1', webhook({ event_id: 'b' }));
    await driver.pipeTombstone('contact.golden', '1');
    await driver.pipe('webhook.received', '1', webhook({ event_id: 'too late' }));
    expect(show(driver)).toEqual([
      ['a', 'Ada'],
      ['b', 'Grace'],
    ]);
    expect(driver.counters().steps.get('with-contact')?.dropped).toEqual(new Map([['no row', 2]]));
  });

  it('leftJoin goes on without a row', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .leftJoin('with-contact', t.table('contact.golden'), (_, row, key) =>
          shown([key, row?.full_name ?? null]),
        )
        .to('event.recorded');
    });
    await driver.pipe('contact.golden', '1', named('Ada'));
    await driver.pipe('webhook.received', '1', webhook());
    await driver.pipe('webhook.received', '2', webhook());
    expect(show(driver)).toEqual([
      ['1', 'Ada'],
      ['2', null],
    ]);
  });

  it('does not wait for the table with its windows: a table says nothing of event time', async () => {
    await run((t) => {
      const contacts = t.table('contact.golden');
      t.stream('webhook.received')
        .join('with-contact', contacts, (webhook) => webhook)
        .groupByKey()
        .window(tumbling({ sizeMs: MINUTE }))
        .count('per-minute', { emit: 'close' })
        .map('show', ({ key, value }) => shown([key, value]))
        .to('event.recorded');
    });
    await driver.pipe('contact.golden', '1', named('Ada'), { timestamp: T0 - 60 * MINUTE });
    await driver.pipe('webhook.received', '1', webhook(), { timestamp: T0 });
    await driver.pipe('webhook.received', '1', webhook(), { timestamp: T0 + MINUTE });
    expect(show(driver)).toEqual([['1', 1]]);
  });

  it('with another key goes through a repartition topic to where the row is', async () => {
    await run(
      (t) => {
        t.stream('webhook.received')
          .selectKey('by-entity', ({ entity_id }) => entity_id)
          .join('with-contact', t.table('contact.golden'), (_, { full_name }) => shown(full_name))
          .to('event.recorded');
      },
      { partitions: 4 },
    );
    for (const id of ['1', '2', '3', '4', '5'])
      await driver.pipe('contact.golden', id, named(`n${id}`));
    for (const entity_id of ['5', '4', '3', '2', '1'])
      await driver.pipe('webhook.received', 'x', webhook({ entity_id }));
    expect(show(driver)).toEqual(['n5', 'n4', 'n3', 'n2', 'n1']);
  });

  it('joins an aggregate: what was counted so far is a table', async () => {
    await run(
      (t) => {
        const counts = t
          .stream('event.recorded')
          .groupBy(({ tenant_id }) => tenant_id)
          .count('per-tenant');
        t.stream('webhook.received')
          .selectKey('by-tenant', ({ tenant_id }) => tenant_id)
          .join('with-count', counts, (_, count) => contact({ id: String(count) }))
          .to('contact.golden');
      },
      { partitions: 2 },
    );
    await driver.pipe('event.recorded', 'a', event());
    await driver.pipe('event.recorded', 'b', event());
    await driver.pipe('webhook.received', 'x', webhook());
    expect(driver.readValues('contact.golden').map((value) => value?.id)).toEqual(['2']);
  });

  it('rows come first when a process begins: the table is read to its end before the stream', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .join('with-contact', t.table('contact.golden'), (_, { full_name }) => shown(full_name))
        .to('event.recorded');
    });
    await driver.pipe('contact.golden', '1', named('Ada'));
    // The state is gone with the process: it comes back from the changelog.
    await driver.crash();
    await driver.pipe('webhook.received', '1', webhook());
    expect(show(driver)).toEqual(['Ada']);
  });
});

describe('a table with a table', () => {
  it('makes a new row when either side changes, and deletes it with either', async () => {
    await run((t) => {
      const golden = t.table('contact.golden');
      const events = t.stream('event.recorded').groupByKey().count('events');
      golden
        .join('with-events', events, ({ full_name }, count) => `${full_name}: ${count}`)
        .toStream()
        .map('show', (row, { key }) => webhook({ entity_id: key, payload: row ?? 'deleted' }))
        .to('webhook.received');
    });
    await driver.pipe('event.recorded', '1', event());
    await driver.pipe('contact.golden', '1', named('Ada'));
    await driver.pipe('event.recorded', '1', event());
    await driver.pipe('contact.golden', '2', named('no events'));
    await driver.pipeTombstone('contact.golden', '1');
    const rows = driver.readValues('webhook.received');
    expect(rows.map((row) => row?.payload)).toEqual(['Ada: 1', 'Ada: 2', 'deleted']);
    expect(driver.entries('with-events')).toEqual([]);
  });
});

describe('a stream with a stream', () => {
  const pairs =
    (withinMs: number, graceMs = 0) =>
    (t: TopologyBuilder) => {
      const opened = t.stream('webhook.received');
      const clicked = t.stream('contact.golden');
      opened
        .joinStream('clicks', clicked, { withinMs, graceMs }, (hook, { id }, key) =>
          shown([key, hook.event_id, id]),
        )
        .to('event.recorded');
    };
  const at = (seconds: number) => ({ timestamp: T0 + seconds * SECOND });
  const left = (event_id: string, seconds: number, key = 'k') =>
    driver.pipe('webhook.received', key, webhook({ event_id }), at(seconds));
  const right = (id: string, seconds: number, key = 'k') =>
    driver.pipe('contact.golden', key, contact({ id }), at(seconds));

  it('finds each pair of one key within the time, whichever comes first, once', async () => {
    await run(pairs(10 * SECOND));
    await left('a', 0);
    await right('1', 10);
    await right('2', 11);
    await left('b', 20);
    await right('3', 15, 'other');
    expect(show(driver)).toEqual([
      ['k', 'a', '1'],
      ['k', 'b', '1'],
      ['k', 'b', '2'],
    ]);
  });

  it('the pair’s time is that of its later record', async () => {
    await run((t) => {
      t.stream('webhook.received')
        .joinStream('clicks', t.stream('contact.golden'), { withinMs: 10 * SECOND }, () => 'pair')
        .map('show', (pair, { timestamp }) => shown([pair, (timestamp - T0) / SECOND]))
        .to('event.recorded');
    });
    await right('1', 9);
    await left('a', 3);
    expect(show(driver)).toEqual([['pair', 9]]);
  });

  it('late() takes what comes too late for its partners', async () => {
    await run((t) => {
      const joined = t
        .stream('webhook.received')
        .joinStream('clicks', t.stream('contact.golden'), { withinMs: 10 * SECOND }, () => 'pair');
      joined.ignore('only what is late counts');
      joined
        .late()
        .map('show', () => shown(['late']))
        .to('event.recorded');
    });
    await left('a', 60);
    await left('b', 0);
    expect(show(driver)).toEqual([['late']]);
    expect(driver.deadLetters()).toEqual([]);
  });

  it('remembers through a crash, and forgets what can find no partner any more', async () => {
    await run(pairs(10 * SECOND));
    await left('a', 0);
    await driver.crash();
    await right('1', 5);
    expect(show(driver)).toEqual([['k', 'a', '1']]);
    for (const seconds of [100, 200, 300]) {
      await left('later', seconds);
      await right('later', seconds);
    }
    expect(driver.entries('clicks.left').map(({ at }) => at)).not.toContain(T0);
  });

  it('a record whose partners may be gone is late; grace keeps them longer', async () => {
    await run(pairs(10 * SECOND));
    await left('a', 100);
    await left('b', 90);
    expect(driver.deadLetters().map(({ info }) => [info.step, info.code])).toEqual([
      ['clicks', 'LATE'],
    ]);
    await driver.close();
    await run(pairs(10 * SECOND, MINUTE));
    await left('a', 100);
    await right('1', 100);
    await left('b', 90);
    expect(driver.deadLetters()).toEqual([]);
    expect(show(driver)).toEqual([
      ['k', 'a', '1'],
      ['k', 'b', '1'],
    ]);
  });

  it('with other keys both sides go through repartition topics', async () => {
    await run(
      (t) => {
        const hooks = t
          .stream('webhook.received')
          .selectKey('hook-key', ({ entity_id }) => entity_id);
        const golden = t.stream('contact.golden').selectKey('contact-key', ({ id }) => id);
        hooks
          .joinStream('pairs', golden, { withinMs: MINUTE }, (_, { id }) => shown(id))
          .to('event.recorded');
      },
      { partitions: 3 },
    );
    for (const id of ['1', '2', '3', '4']) {
      await driver.pipe('webhook.received', `x${id}`, webhook({ entity_id: id }));
      await driver.pipe('contact.golden', `y${id}`, contact({ id }));
    }
    expect(show(driver)).toEqual(['1', '2', '3', '4']);
  });
});

describe('a table that each process holds whole', () => {
  const companies: TableSpec<'cdc.public.companies', { readonly name: string }> = {
    topic: 'cdc.public.companies',
    toRow: ({ op, before, after }) => {
      const row = after ?? before;
      if (row === null) return undefined;
      return { key: String(row.id), row: op === 'd' ? undefined : { name: row.name ?? '' } };
    },
  };
  const join = (t: TopologyBuilder) =>
    t
      .stream('webhook.received')
      .joinGlobal('with-company', companies, {
        key: ({ entity_id }) => (entity_id === '' ? null : entity_id),
        join: ({ event_id }, company) => shown([event_id, company?.name ?? null]),
      })
      .to('event.recorded');

  it('joinGlobal looks up any key, without repartitioning; no key, no row', async () => {
    await run(join, { partitions: 3 });
    await driver.setTable('cdc.public.companies', '7', { name: 'Acme' });
    await driver.pipe('webhook.received', 'a', webhook({ event_id: '1', entity_id: '7' }));
    await driver.pipe('webhook.received', 'b', webhook({ event_id: '2', entity_id: '8' }));
    await driver.pipe('webhook.received', 'c', webhook({ event_id: '3', entity_id: '' }));
    await driver.setTable('cdc.public.companies', '7', undefined);
    await driver.pipe('webhook.received', 'a', webhook({ event_id: '4', entity_id: '7' }));
    expect(show(driver)).toEqual([
      ['1', 'Acme'],
      ['2', null],
      ['3', null],
      ['4', null],
    ]);
  });

  it('is filled by what is piped into its topic, too', async () => {
    await run(join);
    const row = { id: 7, tenant_id: 't', name: 'Acme', domain: null, industry: null };
    const source = {
      ts_ms: T0,
      snapshot: null,
      table: 'companies',
      lsn: 1n,
      sequence: null,
      file: null,
      pos: null,
      row: null,
    };
    const change = { op: 'c', before: null, after: row, source, ts_ms: T0 };
    await driver.pipe('cdc.public.companies', '7', change);
    await driver.pipe('webhook.received', 'a', webhook({ event_id: '1', entity_id: '7' }));
    expect(show(driver)).toEqual([['1', 'Acme']]);
  });
});
