import { describe, expect, it } from 'vitest';
import { kafkaFixture } from '../../tests/support/kafka.ts';
import { ensureTopics, topicPartitions, withCluster } from './admin.ts';
import { createPublisher } from './batching-publisher.ts';

const PARTITIONS = 3;
const NAMES = Array.from({ length: 12 }, (_, i) => `t${i}`);

const plan = (name: string) => ({
  name,
  partitions: PARTITIONS,
  cleanup: 'delete' as const,
  retentionMs: -1,
  maxMessageBytes: 1_000_000,
});

describe('creating topics', () => {
  it('ends when every broker knows them with their leaders, also for who came second', async () => {
    const { client } = kafkaFixture();
    const rival = kafkaFixture({ namespace: client.config.namespace }).client;
    // Both find them missing: one is answered that they exist, and must not go on before they can be used.
    await Promise.all(
      [client, rival].map(async (own) => {
        await ensureTopics(own, NAMES.map(plan));
        const known = await withCluster(own, 'metadata', async (cluster) => {
          const names = NAMES.map(own.physical);
          const ids = await cluster.brokers();
          return Promise.all(ids.map((id) => cluster.metadata(id, names)));
        });
        expect(known.length).toBeGreaterThan(0);
        for (const { topics } of known) {
          expect(topics).toHaveLength(NAMES.length);
          for (const { code, leaders } of topics) {
            expect(code).toBe(0);
            expect(leaders.filter((leader) => leader >= 0)).toHaveLength(PARTITIONS);
          }
        }
      }),
    );
    expect(await topicPartitions(client)).toEqual(new Map(NAMES.map((name) => [name, PARTITIONS])));
    await ensureTopics(client, NAMES.map(plan));
  });

  it('is followed by publishing at once', async () => {
    const { client, codec } = kafkaFixture();
    const publisher = await createPublisher(client, codec);
    for (const name of NAMES) {
      await ensureTopics(client, [plan(name)]);
      await publisher.publishRaw({ topic: name, partition: 0, key: 'k', value: Buffer.from('v') });
    }
    await publisher.close();
  });

  it('says what the cluster cannot have', async () => {
    const { client } = kafkaFixture({ replicationFactor: 10 });
    await expect(ensureTopics(client, [plan('wide')])).rejects.toMatchObject({
      code: 'TOPIC_REFUSED',
      domain: 'user',
      hint: expect.stringContaining('kafka.replicationFactor is 10'),
    });
    expect(await topicPartitions(client)).toEqual(new Map());
  });
});
