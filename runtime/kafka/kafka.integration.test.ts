import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { ensureTopics, groupLag, topicOffsets } from './admin.ts';
import { createPublisher, type OwnedPublisher } from './batching-publisher.ts';
import { startPartitionConsumer } from './partition-consumer.ts';
import { readTopic } from './reader.ts';
import type { PartitionBatch } from './record.ts';

const { client, codec } = kafkaFixture();
const topic = (name: string, partitions = 2) => ({
  name,
  partitions,
  cleanup: 'delete' as const,
  retentionMs: 3_600_000,
  maxMessageBytes: 6_291_456,
});

async function valuesOf(name: string): Promise<string[]> {
  const values: string[] = [];
  await readTopic(client, {
    topic: name,
    onRecord: ({ value }) => void values.push(String(value)),
  });
  return values;
}

const raw = (name: string, key: string, value: string) => ({
  topic: name,
  key,
  value: Buffer.from(value),
});

describe('the Kafka client on a real broker', () => {
  let publisher: OwnedPublisher;
  beforeAll(async () => {
    await ensureTopics(client, [topic('plain'), topic('webhook.received')]);
    publisher = await createPublisher(client, codec);
  });
  afterAll(() => publisher.close());

  it('publishes many records at once and reads each back, order per key kept', async () => {
    const sent = Array.from({ length: 5_000 }, (_, i) => `${i % 50}:${i}`);
    await Promise.all(
      sent.map((v) => publisher.publishRaw(raw('plain', v.split(':')[0] ?? '', v))),
    );
    const read = await valuesOf('plain');
    expect(read.toSorted()).toEqual(sent.toSorted());
    for (const key of ['0', '7', '49']) {
      const own = (all: string[]) => all.filter((v) => v.startsWith(`${key}:`));
      expect(own(read)).toEqual(own(sent));
    }
  });

  it('encodes a value with its registered schema and decodes it back', async () => {
    const value = {
      event_id: 's:1',
      tenant_id: 't',
      source: 's',
      event_type: 'e',
      delivery_id: '1',
      entity_id: 'x',
      occurred_at: null,
      received_at: 1_790_000_000_000,
      payload: '{"a":"ü"}',
    };
    await publisher.publish('webhook.received', { key: 't:x', value });
    const seen: Buffer[] = [];
    await readTopic(client, {
      topic: 'webhook.received',
      onRecord: (r) => void (r.value && seen.push(r.value)),
    });
    await codec.load('webhook.received', seen);
    expect(seen.map((bytes) => codec.decode('webhook.received', bytes))).toEqual([value]);
  });

  it('refuses a value that does not fit, naming each path', async () => {
    const broken = { event_id: 1, tenant_id: null } as never;
    await expect(
      publisher.publish('webhook.received', { key: 'k', value: broken }),
    ).rejects.toMatchObject({
      code: 'SCHEMA_MISMATCH',
      message: expect.stringMatching(/event_id.*tenant_id/),
    });
  });

  it('sends a record of 5 MB', async () => {
    await publisher.publishRaw(raw('webhook.received', 'big', 'x'.repeat(5 * 1_048_576)));
    const sizes: number[] = [];
    await readTopic(client, {
      topic: 'webhook.received',
      onRecord: (r) => void sizes.push(r.value?.length ?? 0),
    });
    expect(Math.max(...sizes)).toBe(5 * 1_048_576);
  });

  it('consumes a group by partition and reports its lag', async () => {
    const batches: PartitionBatch[] = [];
    const consumer = await startPartitionConsumer(client, {
      group: 'readers',
      topics: ['plain'],
      minBytes: 1,
      maxWaitMs: 100,
      concurrency: 2,
      onFatal: (error) => expect.fail(error.message),
      handler: {
        onAssigned: async () => undefined,
        onNothing: async () => undefined,
        onBatch: async (batch, control) => {
          batches.push(batch);
          await control.commit(batch.nextOffset);
        },
      },
    });
    await eventually('lag 0', async () => (await groupLag(client, 'readers', 'plain')) === 0);
    await consumer.stop();
    const ends = await topicOffsets(client, 'plain');
    const read = batches.reduce((sum, { records }) => sum + records.length, 0);
    expect(read).toBe(Number(ends.reduce((sum, { high, low }) => sum + high - low, 0n)));
  });
});
