import { beforeAll, describe, expect, it } from 'vitest';
import { kafkaFixture } from '../../tests/support/kafka.ts';
import { committedOffsets, ensureTopics } from './admin.ts';
import type { KafkaClient } from './client.ts';
import { leaseProducerCluster } from './cluster-lease.ts';
import type { CommitResult, EpochOffset } from './epoch-producer.ts';
import { EpochProducer } from './epoch-producer.ts';
import { partitionOffsets } from './partition-offsets.ts';
import { readPartition } from './partition-reader.ts';

const { client } = kafkaFixture();

async function topic(name: string, partitions = 1): Promise<string> {
  const [cleanup, retentionMs, maxMessageBytes] = ['delete' as const, -1, 6_291_456];
  await ensureTopics(client, [{ name, partitions, cleanup, retentionMs, maxMessageBytes }]);
  return name;
}

async function valuesOf(name: string, partition = 0): Promise<string[]> {
  const values: string[] = [];
  const onRecords = (records: readonly { readonly value: Buffer | null }[]) => {
    for (const { value } of records) values.push(String(value));
  };
  // Up to what is not stable yet, too: markers are written after a commit is answered.
  const { low, high } = await partitionOffsets(client, name, partition);
  await readPartition(client, { topic: name, partition, from: low, to: high, onRecords });
  return values;
}

function send(
  producer: EpochProducer,
  name: string,
  values: readonly string[],
  offsets: readonly EpochOffset[] = [],
): Promise<CommitResult> {
  const batches = producer.begin();
  for (const value of values) batches.append(name, 0, value, Buffer.from(value), 1_000);
  return producer.commit(batches, offsets);
}

const position = (nextOffset: bigint): EpochOffset => ({
  group: 'g',
  topic: 'in',
  partition: 0,
  nextOffset,
});
const numbered = (count: number, prefix = '') =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`);

/** From now on the producers' connections of a client are lost once such a request was sent. @returns how many were. */
async function loseAnswersTo(of: KafkaClient, name: 'endTxn' | 'txnOffsetCommit') {
  let count = 0;
  const leases = [1, 2, 3, 4].map(() => leaseProducerCluster(of));
  for (const { cluster } of leases) {
    await cluster.call(await cluster.anyBroker(), async (broker) => {
      const send = broker[name].bind(broker) as (request: unknown) => Promise<unknown>;
      const lossy = async (request: unknown) => {
        count += 1;
        const answer = send(request);
        setImmediate(() => broker.connectionPool.pool[0].socket.destroy(new Error('cut')));
        return answer;
      };
      Object.assign(broker, { [name]: lossy });
    });
  }
  for (const { release } of leases) release();
  return () => count;
}

describe('EpochProducer on a real broker', () => {
  beforeAll(async () => {
    await topic('in');
  });

  it('commits records of several partitions with offsets, and tells where they end', async () => {
    const out = await topic('several', 3);
    const producer = await EpochProducer.open(client, 'several');
    await producer.prepare([out]);
    const batches = producer.begin();
    const keys = numbered(300, 'key-');
    for (const key of keys)
      batches.append(out, producer.partitionFor(out, key), key, Buffer.from(key), 1_000, {
        h: 'x',
      });
    expect(batches.count).toBe(300);
    const result = await producer.commit(batches, [position(7n)]);
    await producer.close();
    const read: string[] = [];
    for (const partition of [0, 1, 2]) {
      const values = await valuesOf(out, partition);
      expect(result.nextOffset(out, partition)).toBe(BigInt(values.length));
      read.push(...values);
    }
    expect(read.toSorted()).toEqual(keys.toSorted());
    expect(result.nextOffset('in', 0)).toBeUndefined();
    expect(await committedOffsets(client, 'g', 'in')).toEqual(new Map([[0, 7n]]));
  });

  it('hides what was aborted, and does not hold readers back after that', async () => {
    const out = await topic('aborted');
    const producer = await EpochProducer.open(client, 'aborted');
    const batches = producer.begin();
    batches.append(out, 0, 'k', Buffer.from('flushed'), 1);
    await producer.flush(batches);
    expect(await partitionOffsets(client, out, 0)).toMatchObject({ high: 1n, lastStable: 0n });
    await producer.abort();
    await expect
      .poll(async () => partitionOffsets(client, out, 0))
      .toMatchObject({ high: 2n, lastStable: 2n });
    await send(producer, out, ['kept']);
    await producer.close();
    expect(await valuesOf(out)).toEqual(['kept']);
  });

  it('ends what was left open under its id, where fencing has not, before it writes', async () => {
    const out = await topic('left-open', 2);
    const producer = await EpochProducer.open(client, 'left-open');
    await producer.prepare([out]);
    const left = producer.begin();
    left.append(out, 1, 'k', Buffer.from('left over'), 1);
    await producer.flush(left);
    expect(await partitionOffsets(client, out, 1)).toMatchObject({ high: 1n, lastStable: 0n });
    const everywhere = [0, 1].map((partition) => ({ topic: out, partition }));
    await producer.discardLeftovers(everywhere, 'g');
    await expect
      .poll(async () => partitionOffsets(client, out, 1))
      .toMatchObject({ high: 2n, lastStable: 2n });
    await send(producer, out, ['own']);
    await producer.close();
    expect(await valuesOf(out, 0)).toEqual(['own']);
    expect(await valuesOf(out, 1)).toEqual([]);
  });

  it('fences the earlier owner of an id; its open transaction leaves nothing behind', async () => {
    const out = await topic('fenced');
    const first = await EpochProducer.open(client, 'fenced');
    await send(first, out, ['one'], [position(11n)]);
    const open = first.begin();
    open.append(out, 0, 'k', Buffer.from('zombie'), 1);
    await first.flush(open);
    const second = await EpochProducer.open(client, 'fenced');
    await expect(send(first, out, ['zombie again'], [position(99n)])).rejects.toMatchObject({
      code: 'FENCED',
      retry: 'none',
    });
    await expect(send(first, out, ['still'])).rejects.toMatchObject({ code: 'FENCED' });
    await send(second, out, ['two'], [position(12n)]);
    await Promise.all([first.close(), second.close()]);
    expect(await valuesOf(out)).toEqual(['one', 'two']);
    expect(await committedOffsets(client, 'g', 'in')).toEqual(new Map([[0, 12n]]));
  });

  it('commits offsets alone, a hundred times in a row, for two groups', async () => {
    const producer = await EpochProducer.open(client, 'offsets-only');
    for (let i = 1n; i <= 100n; i += 1n) {
      const own = { topic: 'in', partition: 0, nextOffset: i };
      await producer.commit(producer.begin(), [
        { group: 'one', ...own },
        { group: 'two', ...own },
      ]);
    }
    await producer.commit(producer.begin(), []);
    await producer.close();
    for (const group of ['one', 'two'])
      expect(await committedOffsets(client, group, 'in')).toEqual(new Map([[0, 100n]]));
  });

  it('keeps sequences over 200 epochs of any size', async () => {
    const out = await topic('sequences');
    const producer = await EpochProducer.open(client, 'sequences');
    const sent: string[] = [];
    let markers = 0;
    for (let epoch = 0; epoch < 200; epoch += 1) {
      const values = numbered(epoch % 17, `${epoch}:`);
      sent.push(...values);
      const result = await send(producer, out, values, [position(BigInt(epoch))]);
      const next = values.length === 0 ? undefined : BigInt(sent.length + markers);
      expect(result.nextOffset(out, 0)).toBe(next);
      if (values.length > 0) markers += 1;
    }
    await producer.close();
    expect(await valuesOf(out)).toEqual(sent);
  });

  it('runs fifty producers at the same time', async () => {
    const out = await topic('fifty', 5);
    const ids = numbered(50, 'task-');
    await Promise.all(
      ids.map(async (id, i) => {
        const producer = await EpochProducer.open(client, id);
        for (let epoch = 0; epoch < 10; epoch += 1) {
          const batches = producer.begin();
          for (let n = 0; n < 20; n += 1)
            batches.append(out, i % 5, id, Buffer.from(`${id}:${epoch * 20 + n}`), 1);
          await producer.commit(batches, [{ ...position(BigInt(epoch)), group: id }]);
        }
        await producer.close();
      }),
    );
    const read = (
      await Promise.all([0, 1, 2, 3, 4].map((partition) => valuesOf(out, partition)))
    ).flat();
    for (const id of ids)
      expect(read.filter((v) => v.startsWith(`${id}:`))).toEqual(numbered(200, `${id}:`));
  });

  it('commits an epoch of 20 MB, and a record of 5 MB', async () => {
    const out = await topic('big', 2);
    const producer = await EpochProducer.open(client, 'big');
    const batches = producer.begin();
    const value = Buffer.alloc(1_000, 'x');
    for (let i = 0; i < 20_000; i += 1) batches.append(out, i % 2, `k${i}`, value, i);
    batches.append(out, 0, 'huge', Buffer.alloc(5_242_880, 'h'), 1);
    batches.append(out, 0, 'last', Buffer.from('last'), 1);
    expect(batches.bytes).toBeGreaterThan(25_000_000);
    const result = await producer.commit(batches, [position(1n)]);
    await producer.close();
    expect(result.nextOffset(out, 0)).toBe(10_002n);
    expect(result.nextOffset(out, 1)).toBe(10_000n);
    const read = await valuesOf(out, 0);
    expect(read.length).toBe(10_002);
    expect(read.at(-2)?.length).toBe(5_242_880);
    expect(read.at(-1)).toBe('last');
  });

  it('writes compressed batches that a consumer reads', async () => {
    const out = await topic('compressed');
    const { client: gzip } = kafkaFixture({
      compression: 'gzip',
      namespace: client.config.namespace,
    });
    const producer = await EpochProducer.open(gzip, 'compressed');
    const values = numbered(3_000, 'much the same each time ');
    await send(producer, out, values);
    await producer.close();
    expect(await valuesOf(out)).toEqual(values);
  });

  it('gives up a transaction that the brokers refuse, and the next owner goes on', async () => {
    const out = await topic('refused');
    const producer = await EpochProducer.open(client, 'refused');
    const batches = producer.begin();
    batches.append(out, 0, 'k', Buffer.from('before'), 1);
    batches.append(out, 0, 'k', Buffer.alloc(7_000_000), 1);
    await expect(producer.commit(batches, [position(50n)])).rejects.toMatchObject({
      code: 'RECORD_TOO_LARGE',
      retry: 'none',
    });
    await expect(send(producer, out, ['more'])).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' });
    const next = await EpochProducer.open(client, 'refused');
    await send(next, out, ['after']);
    await Promise.all([producer.close(), next.close()]);
    expect(await valuesOf(out)).toEqual(['after']);
  });

  it.each(['endTxn', 'txnOffsetCommit'] as const)(
    'does not send %s again when its answer is lost; the next owner goes on from what became of it',
    async (request) => {
      const out = await topic(`lost-${request}`);
      const { client: cut } = kafkaFixture({ namespace: client.config.namespace });
      const producer = await EpochProducer.open(cut, out);
      await send(producer, out, ['0'], [position(100n)]);
      const sent = await loseAnswersTo(cut, request);
      await expect(send(producer, out, ['1'], [position(101n)])).rejects.toMatchObject({
        code: 'COMMIT_FAILED',
        retry: 'backoff',
      });
      expect(sent()).toBe(1);
      const next = await EpochProducer.open(client, out);
      const { 0: at } = Object.fromEntries((await committedOffsets(client, 'g', 'in')) ?? []);
      if (at === 100n) await send(next, out, ['1'], [position(101n)]);
      else expect(at).toBe(101n);
      await Promise.all([producer.close(), next.close()]);
      expect(await valuesOf(out)).toEqual(['0', '1']);
    },
  );

  it('says which topic does not exist', async () => {
    const producer = await EpochProducer.open(client, 'unknown');
    await expect(producer.prepare(['no-such-topic'])).rejects.toMatchObject({
      code: 'KAFKA_UNAVAILABLE',
      message: expect.stringContaining('no-such-topic'),
    });
    await producer.close();
  }, 30_000);
});
