import { describe, expect, it } from 'vitest';
import { defineTopology } from './builder.ts';
import { groupOf, sinksOf, sourcesOf, type Topology } from './graph.ts';
import { describeTopology, toMermaid } from './mermaid.ts';
import { sliding, tumbling, windowRange, windowStart } from './windows.ts';

/** What a declaration becomes: sub-topologies, names, pictures. */

function counting(): Topology {
  return defineTopology('clicks', (t) => {
    const once = t
      .stream('event.recorded', { name: 'events' })
      .dedup('once', { id: ({ event_id }) => event_id, ttlMs: 60_000 });
    once.to('webhook.received', { value: () => null });
    once
      .groupBy(({ tenant_id }) => tenant_id)
      .window(tumbling({ sizeMs: 60_000 }))
      .count('per-minute')
      .to('metric.tenant.count', { value: () => null });
  });
}

describe('a topology', () => {
  it('is cut at repartition topics: each part runs in tasks, groups and transactions of its own', () => {
    const { name, subTopologies } = counting();
    expect(
      subTopologies.map((sub) => ({
        group: groupOf(name, sub.name),
        stateful: sub.stateful,
        reads: sourcesOf(sub).map(({ topic }) => topic),
        writes: sinksOf(sub).map(({ topic }) => topic),
      })),
    ).toEqual([
      {
        group: 'clicks.events',
        stateful: true,
        reads: ['event.recorded'],
        writes: ['webhook.received', 'clicks.per-minute.repartition'],
      },
      {
        group: 'clicks.per-minute',
        stateful: true,
        reads: ['clicks.per-minute.repartition'],
        writes: ['metric.tenant.count'],
      },
    ]);
  });

  it('has steps in the order in which records pass them', () => {
    for (const { nodes } of counting().subTopologies) {
      const seen = new Set<string>();
      for (const { name, inputs } of nodes) {
        for (const { node } of inputs) expect(seen).toContain(node);
        seen.add(name);
      }
    }
  });

  it('is cut before a process where its author says so, and the key was changed', () => {
    const cutAt = (rekey: boolean) =>
      defineTopology('p', (t) => {
        const source = t.stream('event.recorded', { name: 'events' });
        (rekey ? source.selectKey('by-tenant', ({ tenant_id }) => tenant_id) : source)
          .repartition('tenants')
          .process<null>('count', { create: () => ({ process: () => undefined }) })
          .ignore('only its shape matters here');
      }).subTopologies.map((sub) => sourcesOf(sub).map(({ topic }) => topic));
    expect(cutAt(true)).toEqual([['event.recorded'], ['p.tenants.repartition']]);
    expect(cutAt(false)).toEqual([['event.recorded']]);
  });

  it('needs no repartition topic where records are on the partition of their key already', () => {
    const one = defineTopology('p', (t) =>
      t
        .stream('event.recorded')
        .filter('some', () => true)
        .map('same-key', () => 1)
        .groupByKey()
        .count('per-key')
        .toStream()
        .ignore('a test'),
    );
    expect(one.subTopologies).toHaveLength(1);
    const two = defineTopology('p', (t) =>
      t
        .stream('event.recorded')
        .process<number>('any-key', { create: () => ({ process: () => undefined }) })
        .groupByKey()
        .count('per-key')
        .toStream()
        .ignore('a test'),
    );
    expect(two.subTopologies).toHaveLength(2);
  });

  it('puts streams that meet into one sub-topology, and others apart', () => {
    const { subTopologies } = defineTopology('p', (t) => {
      const a = t.stream('event.recorded').map('a', () => 1);
      const b = t.stream('webhook.received').map('b', () => 2);
      a.merge('both', b).ignore('a test');
      t.stream('contact.golden').ignore('a test');
    });
    expect(subTopologies.map(({ name }) => name)).toEqual(['event-recorded', 'contact-golden']);
  });

  it('without stores and time has no changelog', () => {
    const { subTopologies } = defineTopology('p', (t) =>
      t
        .stream('event.recorded')
        .map('m', () => 1)
        .ignore('a test'),
    );
    expect(subTopologies.map(({ stateful }) => stateful)).toEqual([false]);
  });

  it('prints as Mermaid and as text', () => {
    const mermaid = toMermaid(counting());
    for (const part of [
      'flowchart LR',
      'subgraph sub_events["clicks.events"]',
      'topic_event_recorded[("event.recorded")]',
      'topic_event_recorded --> events',
      'per_minute_repartition --> topic_clicks_per_minute_repartition',
      'state: once',
    ])
      expect(mermaid).toContain(part);
    expect(describeTopology(counting()).split('\n')).toContain(
      '    once [dedup] ← events (state: once)',
    );
  });
});

describe('windows of a time', () => {
  it('windowStart aligns to the epoch, before it, too', () => {
    expect([0, 59, 60, -1, -60, -61].map((at) => windowStart(at, 60))).toEqual([
      0, 0, 60, -60, -60, -120,
    ]);
  });

  it('windowRange has all windows that hold it', () => {
    const tumble = tumbling({ sizeMs: 60 });
    expect(windowRange(tumble, 61)).toEqual({ first: 60, last: 60, stepMs: 60 });
    const slide = sliding({ sizeMs: 60, everyMs: 20 });
    expect(windowRange(slide, 61)).toEqual({ first: 20, last: 60, stepMs: 20 });
    expect(windowRange(slide, 59)).toEqual({ first: 0, last: 40, stepMs: 20 });
  });
});
