import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killComponent } from '../../compose/stack.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { kafkaFixture } from '../support/kafka.ts';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';

const IDS = 48;
const SHARED = 4;
const ROUNDS = 3;
/** Around the broker's session (5 s): it wakes while the controller decides that it is gone, and all leaders with it. */
const FROZEN_MS = 4_600;

/**
 * Each end of a transaction reaches each of its partitions. Kafka 4.3.1 failed here three times of three
 * (KAFKA-20734): an abort that has no marker is committed by the next owner.
 */
describe('transactions that are open while the broker is frozen beyond its session', () => {
  let own: OwnStack;
  let clients: KafkaClient[];

  beforeAll(async () => {
    own = await startOwnStack('markers', ['kafka']);
    const { endpoints } = own;
    const namespace = 'm';
    clients = [1, 2, 3, 4].map(
      () => kafkaFixture({ namespace, brokers: [...endpoints.kafka.brokers] }, endpoints).client,
    );
    const settings = { cleanup: 'delete' as const, retentionMs: -1, maxMessageBytes: 1_048_576 };
    await ensureTopics(clientOf(0), [
      { name: 'own', partitions: IDS, ...settings },
      { name: 'shared', partitions: SHARED, ...settings },
    ]);
  }, 120_000);

  afterAll(() => own?.remove(), 60_000);

  function clientOf(id: number): KafkaClient {
    const client = clients[id % clients.length];
    if (client === undefined) throw new Error('no client');
    return client;
  }

  const open = async (id: number): Promise<EpochProducer> => {
    const producer = await EpochProducer.open(clientOf(id), `id-${id}`);
    await producer.prepare(['own', 'shared']);
    return producer;
  };

  /** One record to the id's own partition and one to each shared one. */
  function fill(producer: EpochProducer, id: number, value: string) {
    const batches = producer.begin();
    const bytes = Buffer.from(`${id}: ${value}`);
    batches.append('own', id, String(id), bytes, Date.now());
    for (let at = 0; at < SHARED; at += 1)
      batches.append('shared', at, String(id), bytes, Date.now());
    return batches;
  }

  it('end everywhere: the next owners commit their own records, and nothing of those before', async () => {
    const ids = Array.from({ length: IDS }, (_, id) => id);
    let producers = await Promise.all(ids.map(open));
    const expected: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await Promise.all(
        producers.map((producer, id) => producer.flush(fill(producer, id, `left open ${round}`))),
      );
      await killComponent(own.dir, 'kafka', 'SIGSTOP');
      // Asked while it is frozen, as it wakes, and shortly after.
      const next = ids.map(async (id) => {
        await delay(FROZEN_MS - 200 + (id * 1_200) / IDS);
        return open(id);
      });
      await delay(FROZEN_MS);
      await killComponent(own.dir, 'kafka', 'SIGCONT');
      const owners = await Promise.all(next);
      await Promise.all(producers.map((producer) => producer.close()));
      await Promise.all(
        owners.map((producer, id) => producer.commit(fill(producer, id, `own ${round}`), [])),
      );
      producers = owners;
      for (const id of ids) expected.push(`${id}: own ${round}`);
    }
    await Promise.all(producers.map((producer) => producer.close()));
    const read = { own: [] as string[], shared: [] as string[] };
    for (const topic of ['own', 'shared'] as const)
      await readTopic(clientOf(0), {
        topic,
        onRecord: ({ value }) => void read[topic].push(String(value)),
      });
    expect(read.own.toSorted()).toEqual(expected.toSorted());
    const everywhere = Array.from({ length: SHARED }, () => expected).flat();
    expect(read.shared.toSorted()).toEqual(everywhere.toSorted());
  });
});
