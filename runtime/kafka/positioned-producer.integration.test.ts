import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kafkaFixture } from '../../tests/support/kafka.ts';
import { ensureTopics } from './admin.ts';
import { PositionedProducer } from './positioned-producer.ts';
import { readTopic } from './reader.ts';

const TOPIC = 'positioned';
const { client } = kafkaFixture();
const opened: PositionedProducer[] = [];

async function open(name: string): Promise<PositionedProducer> {
  const producer = await PositionedProducer.open(client, { name, topic: TOPIC });
  opened.push(producer);
  await producer.prepare([TOPIC]);
  return producer;
}

async function write(producer: PositionedProducer, value: string, next: bigint): Promise<void> {
  const batches = producer.begin();
  batches.append(TOPIC, producer.partitionFor(TOPIC, value), value, Buffer.from(value), Date.now());
  await producer.commit(batches, { next, metadata: `after ${value}` });
}

async function values(): Promise<string[]> {
  const found: string[] = [];
  await readTopic(client, {
    topic: TOPIC,
    onRecord: ({ value }) => void found.push(String(value)),
  });
  return found.sort();
}

beforeAll(() =>
  ensureTopics(client, [
    { name: TOPIC, partitions: 2, cleanup: 'delete', retentionMs: -1, maxMessageBytes: 1_048_576 },
  ]),
);
afterAll(async () => {
  for (const producer of opened) await producer.close();
});

describe('a positioned producer', { timeout: 60_000 }, () => {
  it('goes on where the last committed transaction came to, and keeps apart what has another name', async () => {
    const first = await open('a');
    expect(first.start).toBeUndefined();
    await write(first, 'a1', 1n);
    await write(first, 'a2', 2n);
    expect((await open('a')).start).toEqual({ next: 2n, metadata: 'after a2' });
    expect((await open('b')).start).toBeUndefined();
  });

  it('fences who wrote before it: what that one has not committed is neither there nor counted', async () => {
    const old = await open('c');
    await write(old, 'c1', 1n);
    const batches = old.begin();
    batches.append(TOPIC, 0, 'c2', Buffer.from('c2'), Date.now());
    const next = await open('c');
    expect(next.start).toEqual({ next: 1n, metadata: 'after c1' });
    await expect(old.commit(batches, { next: 2n, metadata: '' })).rejects.toMatchObject({
      code: 'FENCED',
    });
    await write(next, 'c2', 2n);
    expect((await values()).filter((value) => value.startsWith('c'))).toEqual(['c1', 'c2']);
    expect((await open('c')).start).toEqual({ next: 2n, metadata: 'after c2' });
  });
});
