import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kafkaFixture } from '../../tests/support/kafka.ts';
import { describeGroups, ensureTopics, topicPartitions } from './admin.ts';
import { createPublisher, type OwnedPublisher } from './batching-publisher.ts';
import { leaseCluster } from './cluster-lease.ts';
import { EpochProducer } from './epoch-producer.ts';
import { groupPositions, KafkaStats } from './stats.ts';

const topic = (name: string, partitions: number) => ({
  name,
  partitions,
  cleanup: 'delete' as const,
  retentionMs: -1,
  maxMessageBytes: 1_000_000,
});

describe('where groups are', () => {
  const { client, codec } = kafkaFixture();
  let publisher: OwnedPublisher;
  const groups = [
    { group: 'one', topics: ['a', 'b', 'absent'] },
    { group: 'two', topics: ['b'] },
    { group: 'three', topics: ['absent'] },
  ];

  beforeAll(async () => {
    await ensureTopics(client, [topic('a', 2), topic('b', 1), topic('b.one.dlq', 1)]);
    publisher = await createPublisher(client, codec);
    const publish = (name: string, partition: number, count: number) =>
      Promise.all(
        Array.from({ length: count }, (_, i) =>
          publisher.publishRaw({
            topic: name,
            partition,
            key: String(i),
            value: Buffer.from('x'),
          }),
        ),
      );
    await publish('a', 0, 3);
    await publish('a', 1, 5);
    await publish('b', 0, 7);
    await publish('b.one.dlq', 0, 2);
    const producer = await EpochProducer.open(client, 'one.0');
    await producer.commit(producer.begin(), [
      { group: 'one', topic: 'a', partition: 1, nextOffset: 2n },
      { group: 'one', topic: 'b', partition: 0, nextOffset: 7n },
      { group: 'two', topic: 'b', partition: 0, nextOffset: 4n },
    ]);
    await producer.close();
  });
  afterAll(() => publisher.close());

  it('is there for many groups at once, without topics that do not exist', async () => {
    const positions = await groupPositions(client, groups);
    expect(positions).toEqual(
      new Map([
        [
          'one',
          [
            { topic: 'a', partition: 0, committed: undefined, low: 0n, end: 3n, lag: 3n },
            { topic: 'a', partition: 1, committed: 2n, low: 0n, end: 5n, lag: 3n },
            { topic: 'b', partition: 0, committed: 7n, low: 0n, end: 7n, lag: 0n },
          ],
        ],
        ['two', [{ topic: 'b', partition: 0, committed: 4n, low: 0n, end: 7n, lag: 3n }]],
        ['three', []],
      ]),
    );
    expect(await groupPositions(client, [])).toEqual(new Map());
  });

  it('sees topics that were made since, and the partitions that were added', async () => {
    const { client: own } = kafkaFixture();
    const lease = leaseCluster(own);
    const watched = [{ group: 'g', topics: ['new'] }];
    const count = async () => (await groupPositions(own, watched)).get('g')?.length;
    expect(await count()).toBe(0);
    await ensureTopics(own, [topic('new', 1)]);
    expect(await count()).toBe(1);
    const admin = own.kafka.admin();
    await admin.connect();
    await admin.createPartitions({ topicPartitions: [{ topic: own.physical('new'), count: 3 }] });
    await admin.disconnect();
    await expect.poll(count).toBe(3);
    expect(await topicPartitions(own)).toEqual(new Map([['new', 3]]));
    lease.release();
  });

  it('is summed up: records of topics, lag of groups, dead letters', async () => {
    const stats = new KafkaStats(client, groups);
    expect(await stats.lag()).toEqual(
      new Map([
        ['one', 6],
        ['two', 3],
        ['three', 0],
      ]),
    );
    expect(await stats.topicCounts()).toEqual(
      new Map([
        ['a', 8],
        ['b', 7],
        ['b.one.dlq', 2],
      ]),
    );
    expect(await stats.dlqCount()).toBe(2);
    await stats.close();
    expect(await stats.dlqCount(), 'it connects again when it is asked again').toBe(2);
    await stats.close();
  });

  it('opens no connection for a look while somebody holds those of the client', async () => {
    const { client: own } = kafkaFixture({ namespace: client.config.namespace });
    const lease = leaseCluster(own);
    const look = () =>
      Promise.all([groupPositions(own, groups), describeGroups(own, ['one', 'two'])]);
    let opened = 0;
    const onConnect = () => {
      opened += 1;
    };
    subscribe('net.client.socket', onConnect);
    await look();
    const first = opened;
    await look();
    unsubscribe('net.client.socket', onConnect);
    expect(first).toBeGreaterThan(0);
    expect(opened).toBe(first);
    lease.release();
  });
});
