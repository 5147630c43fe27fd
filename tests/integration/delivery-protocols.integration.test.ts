import { afterEach, describe, expect, it } from 'vitest';
import { deliveryConfigSchema } from '../../runtime/delivery/config.ts';
import { plannedRange } from '../../runtime/delivery/planned-position.ts';
import {
  type Claim,
  DELIVERED,
  type DeliveryMode,
  HELD,
  type RecordResult,
  type Sink,
  type SinkBatch,
} from '../../runtime/delivery/sink.ts';
import { SinkRunner, sinkGroup } from '../../runtime/delivery/sink-runner.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { ensureTopics, groupLag, topicPartitions } from '../../runtime/kafka/admin.ts';
import { createPublisher, type OwnedPublisher } from '../../runtime/kafka/batching-publisher.ts';
import { GroupOffsets } from '../../runtime/kafka/group-offsets.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import { dlqOf, retryOf } from '../../schemas/topics.ts';
import { contact } from '../../sinks/fixtures.ts';
import { eventually, kafkaFixture, testLogger } from '../support/kafka.ts';

const TOPIC = 'contact.golden';
const config = deliveryConfigSchema.parse({
  retryInitialMs: 20,
  retryMaxMs: 200,
  maxWaitMs: 50,
  breaker: { openMs: 200 },
  parking: { initialMs: 100, maxMs: 300 },
});

/** A store in memory that outlives its sinks, as a server does. */
class MemoryStore {
  readonly rows: string[] = [];
  readonly ranges: string[] = [];
  /** Ids that cannot be written for now. */
  readonly sick = new Set<string>();
  /** Writes that never answer, to be left behind by a crash. */
  hang = false;
  #epoch = 0n;
  #position: bigint | undefined;
  #topicId: string | undefined;

  sink(mode: DeliveryMode): Sink {
    return {
      name: 'memory',
      mode,
      topics: [TOPIC],
      limits: { records: 10, bytes: 100_000, lingerMs: 20 },
      writers: 2,
      open: async () => undefined,
      claim: async (_topic, _partition, topicId) => this.#claim(topicId),
      write: (batch) => this.#write(batch, mode),
      close: async () => undefined,
    };
  }

  #claim(topicId: string | undefined): Claim {
    this.#epoch += 1n;
    this.#topicId ??= topicId;
    return { epoch: this.#epoch, position: this.#position, topicId: this.#topicId };
  }

  async #write({ range, plan, records }: SinkBatch, mode: DeliveryMode) {
    const token = range === undefined ? `${plan}` : `${range.start}-${range.end}`;
    const isStale = range?.epoch !== this.#epoch || range.start !== (this.#position ?? range.start);
    if (mode === 'transactional' && range !== undefined && isStale) {
      throw new ReachflowError('fenced', { code: 'SINK_FENCED', domain: 'external' });
    }
    const error = new ReachflowError('not yet', {
      code: 'NOT_YET',
      domain: 'external',
      retry: 'backoff',
    });
    const results = records.map(
      ({ key }): RecordResult =>
        this.sick.has(key) ? { status: 'retry', of: 'record', error } : DELIVERED,
    );
    if (results.some(({ status }) => status !== 'delivered')) {
      return results.map((result) => (result.status === 'delivered' ? HELD : result));
    }
    if (mode === 'planned' && this.ranges.includes(token)) return results;
    this.ranges.push(token);
    this.rows.push(...records.map(({ key, version }) => `${key}:${version}`));
    if (range !== undefined) this.#position = range.end;
    if (this.hang) await new Promise<never>(() => undefined);
    return results;
  }
}

describe('delivery on a real broker', () => {
  const cleanups: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function setUp(mode: DeliveryMode) {
    const { client, codec } = kafkaFixture();
    const store = new MemoryStore();
    await ensureTopics(client, planTopics([], [store.sink(mode)], 1));
    const publisher = await createPublisher(client, codec);
    cleanups.push(() => publisher.close());
    const offsets = new GroupOffsets(client, sinkGroup('memory'));
    cleanups.push(async () => offsets.close());
    const failures: ReachflowError[] = [];
    const start = async () => {
      const runner = new SinkRunner({
        sink: store.sink(mode),
        config,
        client,
        codec,
        publisher,
        logger: testLogger,
        onFatal: (error) => void failures.push(error),
      });
      await runner.start();
      return runner;
    };
    const allRead = () =>
      eventually(
        'all read',
        async () => (await groupLag(client, sinkGroup('memory'), TOPIC)) === 0,
      );
    cleanups.push(async () => expect(failures).toEqual([]));
    return { client, store, publisher, offsets, start, allRead, failures };
  }

  async function publish(
    publisher: OwnedPublisher,
    ids: readonly string[],
    from = 1,
  ): Promise<void> {
    const records = ids.map((id, i) => contact(id, BigInt(from + i)));
    for (const value of records) await publisher.publish(TOPIC, { key: value.id, value });
  }

  it.each(['transactional', 'planned'] as const)(
    'parks a key until its first record heals: order per key holds, others pass (%s)',
    async (mode) => {
      const { client, store, publisher, start, allRead } = await setUp(mode);
      store.sick.add('a');
      const runner = await start();
      cleanups.push(() => runner.stop());
      await publish(publisher, ['a', 'b', 'a', 'c', 'a']);
      await allRead();
      await eventually('parked', () => runner.status().parkedRecords === 3);
      expect(store.rows).toEqual(['b:2', 'c:4']);
      store.sick.clear();
      await publish(publisher, ['a', 'b'], 6);
      await eventually('all written', () => store.rows.length === 7);
      expect(store.rows.filter((row) => row.startsWith('a'))).toEqual(['a:1', 'a:3', 'a:5', 'a:6']);
      await eventually('nothing parked', () => runner.status().parkedKeys === 0);
      await eventually(
        'retry topic committed',
        async () => (await groupLag(client, sinkGroup('memory'), retryOf(TOPIC, 'memory'))) === 0,
      );
      expect(runner.status()).toMatchObject({ deadLettered: 0, breaker: 'closed', delivered: 7 });
    },
  );

  it('gives a record up after its tries, then lets its key go on; parked keys outlive the process', async () => {
    const { client, store, publisher, start, allRead } = await setUp('idempotent');
    store.sick.add('a');
    const first = await start();
    await publish(publisher, ['a']);
    await allRead();
    await eventually('parked', () => first.status().parkedKeys === 1);
    await first.stop();
    const second = await start();
    cleanups.push(() => second.stop());
    await publish(publisher, ['a', 'b'], 2);
    await eventually('given up', () => second.counts.deadLettered >= 1);
    store.sick.clear();
    await eventually('the next goes on', () => store.rows.includes('a:2'));
    const letters: string[] = [];
    await readTopic(client, {
      topic: dlqOf(TOPIC, 'memory'),
      onRecord: ({ key, headers }) =>
        void letters.push(
          `${key} ${headers['__reachflow.errors.code']} ${headers['__reachflow.errors.offset']}`,
        ),
    });
    expect(letters).toEqual(['a NOT_YET 0']);
    expect(store.rows.toSorted()).toEqual(['a:2', 'b:3']);
  });

  it('writes a planned range as it was planned, and once, after a crash before its commit', async () => {
    const { store, publisher, offsets, start, allRead } = await setUp('planned');
    store.hang = true;
    const crashed = await start();
    await publish(publisher, ['a', 'b', 'c']);
    await eventually('written', () => store.rows.length > 0);
    const [planned] = await offsets.read([{ topic: TOPIC, partition: 0 }]);
    expect(planned).toMatchObject({ offset: 0n });
    const end = BigInt(store.ranges[0]?.split('-')[1] ?? -1);
    expect(plannedRange(planned?.metadata ?? '')).toMatchObject({ end });
    // It hangs in its write: the stop gives up waiting, and its lane is dead.
    const stopped = crashed.stop();
    await publish(publisher, ['d', 'e'], 4);
    await stopped;
    store.hang = false;
    const next = await start();
    cleanups.push(() => next.stop());
    await allRead();
    expect(store.rows).toEqual(['a:1', 'b:2', 'c:3', 'd:4', 'e:5']);
    const [done] = await offsets.read([{ topic: TOPIC, partition: 0 }]);
    expect(done).toMatchObject({ offset: 5n, metadata: '' });
  });

  it.each(['transactional', 'planned', 'idempotent'] as const)(
    'skips nothing of a topic that was deleted and made anew and is longer already: one whose position is in the store is refused (%s)',
    async (mode) => {
      const { client, store, publisher, start, allRead, failures } = await setUp(mode);
      const first = await start();
      await publish(publisher, ['a', 'b']);
      await allRead();
      await first.stop();
      const admin = client.kafka.admin();
      await admin.connect();
      await admin.deleteTopics({ topics: [client.physical(TOPIC)] });
      await admin.disconnect();
      await eventually('gone', async () => !(await topicPartitions(client)).has(TOPIC));
      await ensureTopics(client, planTopics([], [store.sink(mode)], 1));
      await publish(publisher, ['c', 'd', 'e', 'f']);
      const second = await start();
      cleanups.push(() => second.stop());
      // Brokers delete what groups have committed for a topic with it.
      const rows = mode === 'transactional' ? 2 : 6;
      const refused = mode === 'transactional' ? 1 : 0;
      await eventually('settled', () => store.rows.length + failures.length === rows + refused);
      expect(store.rows).toEqual(['a:1', 'b:2', 'c:1', 'd:2', 'e:3', 'f:4'].slice(0, rows));
      const error = { code: 'INPUT_REPLACED', domain: 'user' };
      expect(failures.splice(0)).toMatchObject(Array(refused).fill(error));
    },
  );

  it('refuses the commit of a member whose generation has passed', async () => {
    const { offsets, start, allRead, publisher } = await setUp('idempotent');
    const runner = await start();
    cleanups.push(() => runner.stop());
    await publish(publisher, ['a']);
    await allRead();
    const stale = { memberId: 'gone', generation: 0 };
    const commit = offsets.commit(stale, { topic: TOPIC, partition: 0 }, 0n, 'plan:7');
    await expect(commit).rejects.toMatchObject({ code: 'GROUP_CHANGED', retry: 'none' });
    const [kept] = await offsets.read([{ topic: TOPIC, partition: 0 }]);
    expect(kept).toMatchObject({ offset: 1n, metadata: '' });
  });

  it('claims anew when another owner has claimed a partition that it holds', async () => {
    const { store, publisher, start, allRead } = await setUp('transactional');
    const runner = await start();
    cleanups.push(() => runner.stop());
    await publish(publisher, ['a', 'b']);
    await allRead();
    await store.sink('transactional').claim?.(TOPIC, 0);
    await publish(publisher, ['c'], 3);
    await eventually('written', () => store.rows.length === 3);
    expect(store.rows).toEqual(['a:1', 'b:2', 'c:3']);
  });

  it('hands partitions over between members without loss or repetition', async () => {
    const { store, publisher, start, allRead } = await setUp('transactional');
    const ids = Array.from({ length: 300 }, (_, i) => `k${i}`);
    const first = await start();
    const publishing = publish(publisher, ids);
    await eventually('some written', () => store.rows.length > 20);
    const second = await start();
    cleanups.push(() => second.stop());
    await first.stop();
    await publishing;
    await allRead();
    expect(store.rows).toEqual(ids.map((id, i) => `${id}:${i + 1}`));
  });
});
