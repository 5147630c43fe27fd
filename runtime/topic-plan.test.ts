import { describe, expect, it } from 'vitest';
import { pipelines } from '../pipelines/catalog.ts';
import type { TopicName } from '../schemas/topics.ts';
import { planTopics } from './topic-plan.ts';
import { defineTopology } from './topology/builder.ts';
import { tumbling } from './topology/windows.ts';

const joining = (table: TopicName) =>
  defineTopology('x', (t) => {
    t.stream('cdc.public.events')
      .joinGlobal(
        'join',
        { topic: table, toRow: () => undefined },
        { key: () => null, join: (value) => value },
      )
      .ignore('a test');
  });

describe('planTopics', () => {
  it('plans a changelog for each stateful sub-topology, and a DLQ for each consumer of a topic', () => {
    const plans = planTopics(pipelines, [{ name: 's', topics: ['contact.golden'] }], 0);
    const of = (name: string) => plans.find((plan) => plan.name === name);
    expect(of('contacts.golden.changelog')).toMatchObject({
      cleanup: 'delete',
      retentionMs: -1,
      partitions: 50,
    });
    expect(of('cdc.public.contacts.contacts.dlq')).toMatchObject({ partitions: 50 });
    expect(of('contact.golden.s.dlq')).toMatchObject({
      partitions: 100,
      retentionMs: 14 * 86_400_000,
    });
    expect(of('contact.golden.s.retry')).toEqual({
      ...of('contact.golden.s.dlq'),
      name: 'contact.golden.s.retry',
      maxMessageBytes: (of('contact.golden.s.dlq')?.maxMessageBytes ?? 0) + 65_536,
    });
    expect(of('webhook.received.events.dlq')?.maxMessageBytes).toBeGreaterThan(6 * 1_048_576);
  });

  it('makes repartition topics as wide as the widest input before them, and what follows them', () => {
    const plans = planTopics(pipelines, [], 0);
    const width = (name: string) => plans.find((plan) => plan.name === name)?.partitions;
    expect(width('webhook.received')).toBe(100);
    expect(width('cdc.public.events')).toBe(50);
    expect(width('events.tenant-counts.repartition')).toBe(100);
    expect(width('events.tenant-counts.changelog')).toBe(100);
    expect(width('events.tenant-counts.repartition.events.dlq')).toBe(100);
  });

  it('gives a pipeline without state no changelog', () => {
    const stateless = defineTopology('plain', (t) => {
      t.stream('contact.golden')
        .filter('some', () => true)
        .ignore('a test');
    });
    const names = planTopics([stateless], [], 4).map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('plain.'))).toEqual([]);
  });

  it('keeps the rows of a table for ever, and refuses a table whose topic expires', () => {
    const companies = planTopics(pipelines, [], 4).find(
      ({ name }) => name === 'cdc.public.companies',
    );
    expect(companies).toMatchObject({ cleanup: 'compact', retentionMs: -1 });
    expect(() => planTopics([joining('cdc.public.contacts')], [], 4)).toThrow(
      expect.objectContaining({ code: 'TABLE_EXPIRES' }),
    );
  });

  it('plans each topic once, however many windows a pipeline has', () => {
    const twice = defineTopology('twice', (t) => {
      const events = t.stream('event.recorded');
      for (const name of ['a', 'b']) {
        events
          .groupBy(({ tenant_id }) => tenant_id)
          .window(tumbling({ sizeMs: 1_000 }))
          .count(name)
          .ignore('a test');
      }
    });
    const names = planTopics([twice], [], 4).map(({ name }) => name);
    expect(names.length).toBe(new Set(names).size);
    expect(names).toEqual(expect.arrayContaining(['twice.a.repartition', 'twice.b.repartition']));
  });
});
