import { describe, expect, it } from 'vitest';
import { BatchQueue } from './batching-publisher.ts';
import { sendFailed } from './idempotent-producer.ts';
import { protocolError } from './kafkajs-internals.ts';
import { CODE } from './protocol-errors.ts';
import type { OutgoingRecord } from './record.ts';

const limits = { lingerMs: 1, batchBytes: 1_000, maxQueuedRecords: 10 };
const record = (key: string, bytes = 1): OutgoingRecord => ({
  topic: 't',
  key,
  value: Buffer.alloc(bytes),
});

describe('BatchQueue', () => {
  it('sends one batch at a time, in order, none lost', async () => {
    const sent: string[][] = [];
    let underWay = 0;
    const queue = new BatchQueue({ ...limits, maxQueuedRecords: 1_000 }, async (records) => {
      underWay += 1;
      expect(underWay).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 2));
      sent.push(records.map(({ key }) => String(key)));
      underWay -= 1;
    });
    const keys = Array.from({ length: 200 }, (_, i) => `k${i}`);
    await Promise.all(keys.map((key) => queue.add(record(key, 50))));
    expect(sent.flat()).toEqual(keys);
    expect(sent.length).toBeGreaterThan(1);
  });

  it('fails only the record that is larger than its topic takes', async () => {
    const queue = new BatchQueue(limits, async (records) => {
      if (records.some(({ key }) => key === 'large'))
        throw sendFailed(protocolError(CODE.messageTooLarge));
    });
    const keys = ['a', 'large', 'b'];
    const settled = await Promise.allSettled(keys.map((key) => queue.add(record(key))));
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(settled[1]).toMatchObject({ reason: { code: 'RECORD_TOO_LARGE', retry: 'none' } });
  });

  it('refuses more than it may hold', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const queue = new BatchQueue(limits, () => held);
    const taken = Array.from({ length: 10 }, (_, i) => queue.add(record(`k${i}`)));
    await expect(queue.add(record('one too many'))).rejects.toMatchObject({
      code: 'PUBLISH_QUEUE_FULL',
    });
    release();
    await Promise.all(taken);
    await queue.drain();
  });

  it('tells every record of a failed batch, and goes on with the next', async () => {
    let failing = true;
    const queue = new BatchQueue(limits, async () => {
      if (failing) throw new Error('no broker');
    });
    const [a, b] = await Promise.allSettled([queue.add(record('a')), queue.add(record('b'))]);
    for (const result of [a, b]) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'KAFKA_UNAVAILABLE' } });
    }
    failing = false;
    await queue.add(record('c'));
  });
});
