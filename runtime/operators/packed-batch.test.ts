import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { event, T0 } from '../testing/samples.ts';
import { TopologyTestDriver } from '../testing/topology-test-driver.ts';
import { defineTopology } from '../topology/builder.ts';
import { dlq, ok } from '../topology/outcome.ts';
import { BatchPacker, unpackBatch } from './packed-batch.ts';

interface Entry {
  readonly key: string;
  readonly timestamp: number;
  readonly watermark: number;
  readonly value: string;
}

function entriesOf(bytes: Buffer): { entries: Entry[]; header: ReturnType<typeof unpackBatch> } {
  const entries: Entry[] = [];
  const header = unpackBatch(bytes, (key, timestamp, watermark, value) =>
    entries.push({ key, timestamp, watermark, value: value.toString('utf8') }),
  );
  return { entries, header };
}

const entry = fc.record({
  key: fc.string({ unit: 'grapheme', maxLength: 40 }),
  timestamp: fc.integer(),
  watermark: fc.constantFrom(Number.NEGATIVE_INFINITY, 0, T0),
  value: fc.string({ unit: 'grapheme', maxLength: 3_000 }),
});

describe('a packed record', () => {
  it('has the entries and the header that went into it, also when its packer is used again', () => {
    const packer = new BatchPacker();
    fc.assert(
      fc.property(fc.array(entry), fc.nat(1_000), fc.boolean(), (given, channel, idle) => {
        for (const { key, timestamp, watermark, value } of given)
          packer.add(key, timestamp, watermark, Buffer.from(value));
        const { entries, header } = entriesOf(packer.take(channel, T0, idle));
        expect(entries).toEqual(given);
        expect(header).toEqual({ channel, watermark: T0, idle });
      }),
    );
  });

  it('of another format is refused', () => {
    for (const bytes of [Buffer.from('{}'), Buffer.alloc(40, 9)])
      expect(() => entriesOf(bytes)).toThrow(expect.objectContaining({ code: 'UNDECODABLE' }));
  });

  let driver: TopologyTestDriver;
  afterEach(() => driver?.close());

  it('is dead-lettered entry by entry: its neighbours were processed', async () => {
    const bad = new ReachflowError('bad', { code: 'BAD', domain: 'user' });
    const topology = defineTopology('packed', (t) => {
      t.stream('event.recorded')
        .groupBy(({ tenant_id }) => tenant_id)
        .aggregate('last', { init: () => '', add: (_, { event_id }) => event_id })
        .toStream()
        .step('judge', (id) => (id === 'bad' ? dlq(bad) : ok(id)))
        .ignore('only the dead letter counts');
    });
    driver = await TopologyTestDriver.open(topology);
    await driver.pipeAll('event.recorded', [
      { key: 'k', value: event({ tenant_id: 'a', event_id: 'good' }) },
      { key: 'k', value: event({ tenant_id: 'b', event_id: 'bad' }) },
    ]);
    const [letter] = driver.deadLetters();
    expect(letter?.info).toMatchObject({ topic: 'packed.last.repartition', code: 'BAD' });
    expect(letter?.record.key?.toString()).toBe('b');
    const { entries, header } = entriesOf(letter?.record.value ?? Buffer.alloc(0));
    expect(entries.map(({ key }) => key)).toEqual(['b']);
    expect(header.watermark).toBe(Number.NEGATIVE_INFINITY);
  });
});
