import { beforeAll, describe, expect, it } from 'vitest';
import { kafkaFixture } from '../../tests/support/kafka.ts';
import { deleteRecordsBefore, ensureTopics } from './admin.ts';
import { EpochProducer } from './epoch-producer.ts';
import { manyPartitionOffsets, partitionOffsets } from './partition-offsets.ts';
import { readPartition } from './partition-reader.ts';
import { followTopic, readTopic } from './reader.ts';
import type { KafkaRecord } from './record.ts';

const { client } = kafkaFixture();

async function topic(name: string, partitions = 1): Promise<string> {
  const [cleanup, retentionMs, maxMessageBytes] = ['delete' as const, -1, 6_291_456];
  await ensureTopics(client, [{ name, partitions, cleanup, retentionMs, maxMessageBytes }]);
  return name;
}

async function read(name: string, from: bigint, to?: bigint) {
  const records: KafkaRecord[] = [];
  const { nextOffset } = await readPartition(client, {
    topic: name,
    partition: 0,
    from,
    ...(to === undefined ? {} : { to }),
    onRecords: (some) => void records.push(...some),
  });
  return { offsets: records.map(({ offset }) => offset), nextOffset, records };
}

/** Sends without ending the transaction. */
async function flush(producer: EpochProducer, name: string, value: string): Promise<void> {
  const batches = producer.begin();
  batches.append(name, 0, 'k', Buffer.from(value), 1);
  await producer.flush(batches);
}

describe('reading partitions of a real broker', () => {
  /** Values at their offsets in `mixed`, where they were committed. */
  const committed = new Map<bigint, string>();
  let end = 0n;

  beforeAll(async () => {
    const name = await topic('mixed');
    const producers = await Promise.all(
      [0, 1, 2, 3].map((i) => EpochProducer.open(client, `mixed-${i}`)),
    );
    const open = producers.map((): string[] => []);
    let kept: string[] = [];
    // Interleaved by a fixed pattern: transactions overlap, and every third one is aborted.
    for (let step = 0; step < 120; step += 1) {
      const i = (step * 7 + (step >> 2)) % 4;
      const producer = producers[i];
      if (producer === undefined) continue;
      const value = `${i}:${step}`;
      await flush(producer, name, value);
      open[i]?.push(value);
      if (step % 5 !== 4) continue;
      if (step % 3 === 0) await producer.abort();
      else {
        await producer.commit(producer.begin(), []);
        kept = kept.concat(open[i] ?? []);
      }
      open[i] = [];
    }
    await Promise.all(producers.map((producer) => producer.close()));
    end = (await partitionOffsets(client, name, 0)).high;
    const all = await read(name, 0n, end);
    for (const { offset, value } of all.records) committed.set(offset, String(value));
    expect([...committed.values()].toSorted()).toEqual(kept.toSorted());
    expect(kept.length).toBeGreaterThan(30);
  });

  it('hands over exactly the committed records, from any offset to any other', async () => {
    for (let from = 0n; from <= end; from += 7n) {
      for (let to = from; to <= end; to += 31n) {
        const { offsets, nextOffset } = await read('mixed', from, to);
        expect(nextOffset).toBe(to);
        expect(offsets).toEqual([...committed.keys()].filter((o) => o >= from && o < to));
      }
    }
  });

  it('reads up to the last stable offset, and waits for what is asked for beyond it', async () => {
    const name = await topic('undecided');
    const producer = await EpochProducer.open(client, 'undecided');
    await flush(producer, name, 'first');
    expect(await read(name, 0n)).toMatchObject({ offsets: [], nextOffset: 0n });
    const waiting = read(name, 0n, 1n);
    await producer.commit(producer.begin(), []);
    expect(await waiting).toMatchObject({ offsets: [0n], nextOffset: 1n });
    await producer.close();
  });

  it('is quick on a warm client, and fast', async () => {
    const name = await topic('speed');
    const producer = await EpochProducer.open(client, 'speed');
    const value = Buffer.alloc(160, 'x');
    for (let epoch = 0; epoch < 30; epoch += 1) {
      const batches = producer.begin();
      for (let i = 0; i < 10_000; i += 1) batches.append(name, 0, `key-${i}`, value, i);
      await producer.commit(batches, []);
    }
    const began = performance.now();
    const { offsets } = await read(name, 0n, 300_029n);
    const perSecond = (offsets.length / (performance.now() - began)) * 1_000;
    expect(offsets.length).toBe(300_000);
    const times: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      const start = performance.now();
      expect((await read(name, 0n, 300n)).offsets.length).toBe(300);
      times.push(performance.now() - start);
    }
    await producer.close();
    // Bounds far from what is measured, for machines that are busy.
    expect(perSecond).toBeGreaterThan(100_000);
    expect(times.toSorted((a, b) => a - b)[4]).toBeLessThan(100);
  });

  it('deletes the head of a log, and says so to who asks for it', async () => {
    const name = await topic('deleted');
    const producer = await EpochProducer.open(client, 'deleted');
    for (let i = 0; i < 10; i += 1) {
      await flush(producer, name, String(i));
      await producer.commit(producer.begin(), []);
    }
    await producer.close();
    await deleteRecordsBefore(client, name, 0, 8n);
    await deleteRecordsBefore(client, name, 0, 3n);
    expect(await partitionOffsets(client, name, 0)).toEqual({
      low: 8n,
      high: 20n,
      lastStable: 20n,
    });
    await expect(read(name, 7n)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
    expect((await read(name, 8n)).offsets).toEqual([8n, 10n, 12n, 14n, 16n, 18n]);
    await expect(deleteRecordsBefore(client, name, 0, 21n)).rejects.toMatchObject({
      code: 'KAFKA_UNAVAILABLE',
    });
    const values: string[] = [];
    await readTopic(client, { topic: name, onRecord: ({ value }) => void values.push(`${value}`) });
    expect(values).toEqual(['4', '5', '6', '7', '8', '9']);
  });

  it('ends with what the receiver throws', async () => {
    const error = new Error('of the receiver');
    const onRecords = () => {
      throw error;
    };
    await expect(
      readPartition(client, { topic: 'mixed', partition: 0, from: 0n, onRecords }),
    ).rejects.toBe(error);
    const failing = { topic: 'mixed', onRecord: onRecords };
    await expect(readTopic(client, failing)).rejects.toBe(error);
  });

  it('tells the offsets of many partitions in their order', async () => {
    const name = await topic('many', 40);
    const producer = await EpochProducer.open(client, 'many');
    const batches = producer.begin();
    for (let partition = 0; partition < 40; partition += 1) {
      for (let i = 0; i < partition; i += 1) batches.append(name, partition, 'k', null, 1);
    }
    await producer.commit(batches, []);
    await producer.close();
    const asked = Array.from({ length: 40 }, (_, i) => ({ topic: name, partition: 39 - i }));
    await expect
      .poll(async () => {
        const offsets = await manyPartitionOffsets(client, asked);
        return offsets.map(({ low, lastStable }) => [low, lastStable]);
      })
      .toEqual(asked.map(({ partition }) => [0n, partition === 0 ? 0n : BigInt(partition) + 1n]));
  });

  it('follows a topic: what is there first, then what comes', async () => {
    const name = await topic('followed', 3);
    const producer = await EpochProducer.open(client, 'followed');
    const send = async (values: readonly string[]) => {
      const batches = producer.begin();
      for (const value of values)
        batches.append(name, Number(value) % 3, value, Buffer.from(value), 1);
      await producer.commit(batches, []);
    };
    const seen: string[] = [];
    await send(['1', '2', '3', '4']);
    const follower = await followTopic(client, {
      topic: name,
      partitions: [1, 2],
      onRecord: ({ value }, partition) => void seen.push(`${partition}/${value}`),
    });
    await follower.caughtUp;
    expect(seen.toSorted()).toEqual(['1/1', '1/4', '2/2']);
    await send(['5', '6', '7']);
    await expect.poll(() => seen.toSorted()).toEqual(['1/1', '1/4', '1/7', '2/2', '2/5']);
    await follower.stop();
    await send(['8']);
    expect(seen.length).toBe(5);
    await producer.close();
  });

  it('does not wait for long for a transaction that nobody ends', async () => {
    const name = await topic('hanging');
    const [kept, hanging] = await Promise.all(
      ['kept', 'hanging'].map((id) => EpochProducer.open(client, id)),
    );
    if (kept === undefined || hanging === undefined) return expect.fail('not opened');
    await flush(kept, name, 'before');
    await kept.commit(kept.begin(), []);
    await flush(hanging, name, 'never ended');
    const values: string[] = [];
    await readTopic(client, { topic: name, onRecord: ({ value }) => void values.push(`${value}`) });
    expect(values).toEqual(['before']);
    await Promise.all([kept.close(), hanging.close()]);
  });

  it('fails for a topic that does not exist', async () => {
    const missing = { topic: 'no-such-topic', partition: 0, from: 0n, onRecords: () => undefined };
    await expect(readPartition(client, missing)).rejects.toMatchObject({
      code: 'KAFKA_UNAVAILABLE',
    });
  }, 30_000);
});
