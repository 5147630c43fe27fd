import { describe, expect, it } from 'vitest';
import type { TopicName } from '../../schemas/topics.ts';
import { ReachflowError } from '../errors.ts';
import { keyValueStore, numberSerde } from '../state/contract.ts';
import type { Stream, TopologyBuilder } from './api.ts';
import { defineTopology } from './builder.ts';
import { session, sliding, tumbling } from './windows.ts';

/** What cannot work is refused when it is declared, with the reason. */

function refusal(declare: () => unknown): string {
  try {
    declare();
  } catch (error) {
    if (!(error instanceof ReachflowError)) throw error;
    expect([error.code, error.domain]).toEqual(['TOPOLOGY_INVALID', 'user']);
    return error.message;
  }
  throw new Error('it was not refused');
}

function refused(declare: (t: TopologyBuilder) => void): string {
  return refusal(() => defineTopology('p', declare));
}

const webhooks = (t: TopologyBuilder) => t.stream('webhook.received');
const end = (stream: Pick<Stream<never>, 'ignore'>) => stream.ignore('a test');

describe('names', () => {
  it('are letters, digits, _ and -', () => {
    expect(refusal(() => defineTopology('a.b', () => undefined))).toBe(
      '"a.b" is no name for a topology',
    );
    expect(refused((t) => end(webhooks(t).filter('', () => true)))).toBe(
      '"" is no name for a step of p',
    );
    expect(refused((t) => end(webhooks(t).map('über', () => 1)))).toBe(
      '"über" is no name for a step of p',
    );
    expect(refused((t) => end(webhooks(t).map('x'.repeat(101), () => 1)))).toContain('is no name');
    expect(refused((t) => end(t.stream('webhook.received', { name: 'a b' })))).toBe(
      '"a b" is no name for a step of p',
    );
  });

  it('are each step’s own', () => {
    const twice = (t: TopologyBuilder) =>
      end(
        webhooks(t)
          .map('same', () => 1)
          .map('same', () => 2),
      );
    expect(refused(twice)).toBe('p has two steps named same');
  });

  it('are each sub-topology’s own', () => {
    expect(
      refused((t) => {
        end(t.stream('webhook.received', { name: 'same' }));
        const counts = t
          .stream('event.recorded')
          .groupBy(() => '')
          .count('same-count')
          .toStream();
        end(counts);
        end(t.stream('contact.golden', { name: 'same-count-2' }));
        end(
          t
            .stream('metric.tenant.count', { name: 'x' })
            .groupBy(() => '')
            .count('same')
            .toStream(),
        );
      }),
    ).toBe('p has two steps named same');
  });

  it('are each store’s own', () => {
    const store = () => keyValueStore<number>('same', numberSerde);
    const step = (spec: ReturnType<typeof store>) => ({
      stores: [spec],
      create: () => ({ process: () => undefined }),
    });
    expect(
      refused((t) => end(webhooks(t).process('a', step(store())).process('b', step(store())))),
    ).toBe('p.webhook-received has two stores named same');
    const shared = store();
    defineTopology('p', (t) =>
      end(webhooks(t).process('a', step(shared)).process('b', step(shared))),
    );
  });
});

describe('topics', () => {
  const unknown = 'nope' as unknown as TopicName;

  it('are in the map', () => {
    expect(refused((t) => end(t.stream(unknown)))).toBe(
      'p reads "nope", which is no topic of schemas/topics.ts',
    );
    expect(refused((t) => end(t.table(unknown).toStream()))).toBe(
      'p reads "nope", which is no topic of schemas/topics.ts',
    );
    expect(refused((t) => webhooks(t).to(unknown, {}))).toBe(
      'p writes "nope", which is no topic of schemas/topics.ts',
    );
  });

  it('are read once by a sub-topology', () => {
    expect(
      refused((t) => {
        const a = t.stream('webhook.received', { name: 'a' });
        const b = t.stream('webhook.received', { name: 'b' });
        end(a.merge('both', b));
      }),
    ).toBe('p.a reads webhook.received twice');
  });

  it('are written by who owns their schema', () => {
    expect(
      refused((t) => t.stream('cdc.public.events').to('cdc.public.events', { value: () => null })),
    ).toBe('p writes cdc.public.events, which belongs to Debezium');
  });

  it('do not feed themselves, not even by way of another', () => {
    expect(refused((t) => t.stream('event.recorded').to('event.recorded'))).toBe(
      'p feeds itself: event-recorded → event-recorded',
    );
    expect(
      refused((t) => {
        t.stream('event.recorded', { name: 'a' }).to('webhook.received', { value: () => null });
        t.stream('webhook.received', { name: 'b' })
          .groupBy(() => '')
          .count('c')
          .toStream()
          .to('event.recorded', { value: () => null });
      }),
    ).toBe('p feeds itself: a → b → c → a');
  });
});

describe('streams', () => {
  it('there is one', () => {
    expect(refused(() => undefined)).toBe('the topology p has no steps');
  });

  it('lead somewhere', () => {
    expect(refused((t) => void webhooks(t))).toBe(
      'p.webhook-received (source) leads nowhere: its records would be lost',
    );
    expect(refused((t) => void webhooks(t).filter('some', () => true))).toBe(
      'p.some (filter) leads nowhere: its records would be lost',
    );
    expect(refused((t) => void webhooks(t).groupByKey().count('count'))).toBe(
      'p.count (count) leads nowhere: its records would be lost',
    );
  });

  it('and so do named outputs and branches', () => {
    const step = (t: TopologyBuilder) =>
      webhooks(t).step<number, { odd: number }>('check', () => ({ kind: 'drop', reason: '' }), [
        'odd',
      ]);
    expect(refused((t) => end(step(t)))).toBe(
      'the output odd of p.check leads nowhere: its records would be lost',
    );
    expect(refused((t) => end(step(t).output('odd')))).toBe(
      'p.check (step) leads nowhere: its records would be lost',
    );
    expect(refused((t) => end(webhooks(t).branch('b', { a: () => true }).a))).toBe(
      'the output rest of p.b leads nowhere: its records would be lost',
    );
  });

  it('that end on purpose say why', () => {
    expect(refused((t) => webhooks(t).ignore(' '))).toBe('ignore() needs to be told why');
  });

  it('have no branch named rest: that is what no branch takes', () => {
    expect(refused((t) => void webhooks(t).branch('b', { rest: () => true }))).toBe(
      'the branch b names one of its branches rest',
    );
  });
});

describe('joins', () => {
  it('are of topics whose equal keys are the same bytes', () => {
    expect(
      refused((t) => {
        end(webhooks(t).join('j', t.table('cdc.public.contacts'), () => 1));
      }),
    ).toBe(
      'p.j joins topics whose keys are not the same bytes: webhook.received has string keys, cdc.public.contacts has avro keys',
    );
    // A key of one's own is text, on the partition that text has.
    const topology = defineTopology('p', (t) => {
      const rows = t
        .stream('cdc.public.contacts')
        .selectKey('id', (_, { key }) => key)
        .toTable('rows');
      end(webhooks(t).join('j', rows, () => 1));
    });
    expect(topology.subTopologies.map(({ copartitioned }) => copartitioned)).toContainEqual([
      ['webhook.received', 'p.rows.repartition'],
    ]);
  });

  it('of streams have a time that pairs are within', () => {
    for (const withinMs of [-1, Number.NaN]) {
      expect(
        refused((t) =>
          end(webhooks(t).joinStream('j', t.stream('event.recorded'), { withinMs }, () => 1)),
        ),
      ).toBe('the join j needs withinMs and graceMs of 0 or more');
    }
  });
});

describe('windows', () => {
  it('have a size, and a grace', () => {
    expect(refusal(() => tumbling({ sizeMs: 0 }))).toBe(
      'sizeMs is 0, but has to be a whole number of ms above 0',
    );
    expect(refusal(() => tumbling({ sizeMs: 1.5 }))).toContain('sizeMs is 1.5');
    expect(refusal(() => tumbling({ sizeMs: 1, graceMs: -1 }))).toBe(
      'graceMs is -1, but has to be a whole number of ms, 0 or more',
    );
    expect(refusal(() => session({ gapMs: 0 }))).toContain('gapMs is 0');
    expect(refusal(() => sliding({ sizeMs: 10, everyMs: 0 }))).toContain('everyMs is 0');
  });

  it('that slide do so in whole steps, at most 1,000 of them', () => {
    expect(refusal(() => sliding({ sizeMs: 10, everyMs: 3 }))).toBe(
      'sizeMs (10) has to be 1 to 1000 times everyMs (3)',
    );
    expect(refusal(() => sliding({ sizeMs: 1_001, everyMs: 1 }))).toContain('1 to 1000 times');
  });

  it('by activity need merge: a record between two sessions makes them one', () => {
    expect(
      refused((t) =>
        end(
          webhooks(t)
            .groupByKey()
            .window(session({ gapMs: 1 }))
            .aggregate('s', { init: () => 0, add: (n) => n }),
        ),
      ),
    ).toBe('s aggregates sessions without merge');
  });
});

it('dedup remembers for some time', () => {
  for (const ttlMs of [0, -1, Number.NaN])
    expect(refused((t) => end(webhooks(t).dedup('once', { id: () => '', ttlMs })))).toBe(
      `the dedup once needs a ttlMs above 0, but has ${ttlMs}`,
    );
});

it('asyncMap has bounds', () => {
  const ask = (options: object) =>
    refused((t) =>
      end(
        webhooks(t).asyncMap('ask', options, () => Promise.resolve({ kind: 'drop', reason: '' })),
      ),
    );
  expect(ask({ concurrency: 0 })).toBe(
    'ask: concurrency is 0, but has to be a whole number from 1',
  );
  expect(ask({ timeoutMs: 0 })).toBe('ask: timeoutMs is 0, but has to be a whole number from 1');
  expect(ask({ retries: -1 })).toBe('ask: retries is -1, but has to be a whole number from 0');
  expect(ask({ backoffMs: 0.5 })).toBe(
    'ask: backoffMs is 0.5, but has to be a whole number from 0',
  );
  expect(ask({ journal: { id: () => '', ttlMs: 0 } })).toBe(
    'ask: journal.ttlMs is 0, but has to be a whole number from 1',
  );
});
