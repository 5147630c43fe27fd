import avro from 'avsc';
import { describe, expect, it, vi } from 'vitest';
import { readerType } from './avro.ts';
import { TopicCodec } from './codec.ts';
import type { SchemaRegistryClient } from './registry.ts';
import { topicNames, topics } from './topics.ts';
import type { Contact } from './types.ts';

/** A registry in memory with these writer schemas by id; ids of registered ones count from 100. */
function registryOf(writers: Record<number, unknown>): SchemaRegistryClient {
  let next = 100;
  return {
    register: async (_subject, text) => {
      writers[next] = JSON.parse(text);
      return next++;
    },
    writerType: async (id) => avro.Type.forSchema(writers[id] as avro.Schema),
  };
}

const contact: Contact = {
  id: '7',
  tenant_id: 't',
  full_name: 'Ada Löve 😀',
  email: 'ada@example.com',
  phone: null,
  company_id: '3',
  company: 'Acme',
  company_domain: null,
  industry: null,
  tags: ['a', 'b'],
  score: 0.5,
  created_at: 1_790_000_000_000,
  updated_at: 1_790_000_000_001,
  version: 2n ** 62n + 1n,
};

function framed(id: number, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeInt32BE(id, 1);
  return Buffer.concat([header, body]);
}

describe('TopicCodec', () => {
  it('reads back what it wrote, versions beyond 2^53 included', async () => {
    const codec = new TopicCodec(registryOf({}), (name) => name);
    await codec.register(['contact.golden']);
    const bytes = codec.encode('contact.golden', contact);
    await codec.load('contact.golden', [bytes]);
    expect(codec.decode('contact.golden', bytes)).toEqual(contact);
  });

  it('writes values larger than those before, and small ones after them', async () => {
    const codec = new TopicCodec(registryOf({}), (name) => name);
    await codec.register(['contact.golden']);
    const names = ['a', 'é'.repeat(100_000), 'b', 'c'.repeat(300_000), ''];
    const written = names.map((name) =>
      codec.encode('contact.golden', { ...contact, full_name: name }),
    );
    await codec.load('contact.golden', written);
    const read = written.map((bytes) => codec.decode('contact.golden', bytes).full_name);
    expect(read).toEqual(names);
    expect(
      written.every((bytes, i) => bytes.length < Buffer.byteLength(names[i] ?? '') + 200),
    ).toBe(true);
  });

  it('reads an older and a newer writer into the reader schema', async () => {
    const envelope = JSON.parse(
      JSON.stringify(readerType('cdc.public.events').schema({ exportAttrs: true })),
    );
    const value = (fields: unknown[]) => ({ type: 'record', name: 'Value', fields });
    const writer = (fields: unknown[]) => ({
      type: 'record',
      name: 'Envelope',
      namespace: 'other.prefix.cdc.public.events',
      fields: [
        { name: 'before', type: ['null', value(fields)] },
        { name: 'after', type: ['null', 'Value'] },
        envelope.fields.find((field: { name: string }) => field.name === 'source'),
        { name: 'op', type: 'string' },
        { name: 'ts_ns', type: 'long' },
      ],
    });
    const id = { name: 'id', type: 'long' };
    const old = writer([id]);
    const newer = writer([
      id,
      { name: 'kind', type: ['null', 'string'] },
      { name: 'added', type: 'long' },
    ]);
    const codec = new TopicCodec(registryOf({ 1: old, 2: newer }), (name) => name);
    const source = { ts_ms: 1, snapshot: null, table: 'events', lsn: 5 };
    const tail = { before: null, source, op: 'c', ts_ns: 123 };
    const bytes = [
      framed(1, avro.Type.forSchema(old as avro.Schema).toBuffer({ after: { id: 1 }, ...tail })),
      framed(
        2,
        avro.Type.forSchema(newer as avro.Schema).toBuffer({
          after: { id: 2, kind: 'k', added: 9 },
          ...tail,
        }),
      ),
    ];
    await codec.load('cdc.public.events', bytes);
    const decoded = bytes.map((b) => codec.decode('cdc.public.events', b));
    expect(decoded.map(({ after }) => after)).toMatchObject([
      { id: 1, kind: null, tenant_id: null },
      { id: 2, kind: 'k', props: null },
    ]);
    expect(decoded[0]?.source.lsn).toBe(5n);
  });

  it('refuses bytes that are not framed, truncated, or of a schema that cannot be read', async () => {
    const codec = new TopicCodec(registryOf({ 1: 'string' }), (name) => name);
    await codec.register(['contact.golden']);
    const good = codec.encode('contact.golden', contact);
    const values = [Buffer.from('garbage'), good.subarray(0, 20), framed(1, Buffer.from([2, 65]))];
    await codec.load('contact.golden', [...values, good]);
    for (const value of values) {
      expect(() => codec.decode('contact.golden', value)).toThrow(
        expect.objectContaining({ code: 'UNDECODABLE' }),
      );
    }
    expect(codec.decode('contact.golden', good).id).toBe('7');
  });

  it('asks again, after a while, for a schema that could not be read', async () => {
    vi.useFakeTimers();
    try {
      let found = false;
      const registry = registryOf({});
      const codec = new TopicCodec(
        {
          ...registry,
          writerType: async (id) => {
            if (!found) throw new Error('not found');
            return registry.writerType(id);
          },
        },
        (name) => name,
      );
      await codec.register(['contact.golden']);
      const bytes = codec.encode('contact.golden', contact);
      await codec.load('contact.golden', [bytes]);
      expect(() => codec.decode('contact.golden', bytes)).toThrow(/cannot be decoded/);
      found = true;
      vi.advanceTimersByTime(31_000);
      await codec.load('contact.golden', [bytes]);
      expect(codec.decode('contact.golden', bytes).id).toBe('7');
    } finally {
      vi.useRealTimers();
    }
  });

  it('names each path of a value that does not fit', async () => {
    const codec = new TopicCodec(registryOf({}), (name) => name);
    await codec.register(['contact.golden']);
    const wrong = { ...contact, email: null, version: 1 } as never;
    expect(() => codec.encode('contact.golden', wrong)).toThrow(/email.*version/);
  });
});

describe('the map of topics', () => {
  it('has a readable schema for each topic, and names of the form <domain>.<entity>.<event>', () => {
    for (const name of topicNames) {
      expect(readerType(name).typeName).toBe('record');
      expect(name).toMatch(/^[a-z]+(\.[a-z_]+)+$/);
      expect(topics[name].partitions).toBeGreaterThan(0);
    }
  });
});
