import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { committedOffsets, deleteRecordsBefore, describeGroups, ensureTopics } from './admin.ts';
import { EpochProducer } from './epoch-producer.ts';
import {
  type BatchControl,
  type PartitionConsumer,
  type PartitionConsumerOptions,
  type PartitionHandler,
  startPartitionConsumer,
} from './partition-consumer.ts';
import type { PartitionBatch, TopicPartition } from './record.ts';

const { client } = kafkaFixture({ sessionTimeoutMs: 6_000, fetchMaxWaitMs: 50 });
const LEFT = { name: 'left', partitions: 6 };
const RIGHT = { name: 'right', partitions: 4 };

async function fill(topic: string, partition: number, values: readonly string[]): Promise<void> {
  const producer = await EpochProducer.open(client, `fill.${topic}.${partition}`);
  const batches = producer.begin();
  for (const value of values)
    batches.append(topic, partition, value, Buffer.from(value), Date.now());
  await producer.commit(batches, []);
  await producer.close();
}

/** Takes notes of what a member gets, and commits each batch. */
class Member implements PartitionHandler {
  held: readonly TopicPartition[] = [];
  readonly batches: PartitionBatch[] = [];
  readonly events: string[] = [];
  consumer: PartitionConsumer | undefined;

  async onAssigned(held: readonly TopicPartition[]): Promise<void> {
    this.held = held;
    this.events.push('assigned');
  }

  async onBatch(batch: PartitionBatch, control: BatchControl): Promise<void> {
    this.batches.push(batch);
    await control.commit(batch.nextOffset);
  }

  async onNothing(): Promise<void> {}

  async onRebalance(): Promise<void> {
    this.events.push('rebalance');
  }

  /** Partitions held of a topic, ascending. */
  of({ name }: typeof LEFT): number[] {
    const own = this.held.filter(({ topic }) => topic === name);
    return own.map(({ partition }) => partition).toSorted((a, b) => a - b);
  }

  values(): string[] {
    return this.batches.flatMap(({ records }) => records.map(({ value }) => String(value)));
  }
}

const started: Member[] = [];

async function join<M extends Member>(
  group: string,
  member: M,
  more: Partial<PartitionConsumerOptions> = {},
): Promise<M> {
  started.push(member);
  member.consumer = await startPartitionConsumer(client, {
    group,
    topics: [LEFT.name, RIGHT.name],
    handler: member,
    minBytes: 1,
    maxWaitMs: 50,
    concurrency: 4,
    assignment: 'co-partitioned',
    onFatal: (error) => expect.fail(error.message),
    ...more,
  });
  return member;
}

async function leave(member: Member): Promise<void> {
  await member.consumer?.stop();
  member.held = [];
}

/** Until the members hold everything between them, evenly, each number of both topics in one place. */
async function settled(members: readonly Member[]): Promise<void> {
  await eventually('all partitions are held', () => {
    const numbers = members.flatMap((member) => member.of(LEFT));
    const sizes = members.map((member) => member.of(LEFT).length);
    return (
      new Set(numbers).size === LEFT.partitions &&
      numbers.length === LEFT.partitions &&
      Math.max(...sizes) - Math.min(...sizes) <= 1
    );
  });
  for (const member of members) {
    const expected = member.of(LEFT).filter((partition) => partition < RIGHT.partitions);
    expect(member.of(RIGHT)).toEqual(expected);
  }
}

describe('co-partitioned consumers on a real broker', () => {
  beforeAll(async () => {
    const settings = { cleanup: 'delete' as const, retentionMs: -1, maxMessageBytes: 1_048_576 };
    await ensureTopics(
      client,
      [LEFT, RIGHT].map((topic) => ({ ...topic, ...settings })),
    );
    for (let p = 0; p < LEFT.partitions; p += 1) await fill('left', p, [`l${p}a`, `l${p}b`]);
    for (let p = 0; p < RIGHT.partitions; p += 1) await fill('right', p, [`r${p}`]);
  });

  afterEach(async () => {
    await Promise.all(started.splice(0).map(leave));
  });

  it('keeps partitions together and where they are while three members come and go', async () => {
    const [a, b, c] = [new Member(), new Member(), new Member()];
    await join('sticky', a);
    await settled([a]);
    await join('sticky', b);
    await settled([a, b]);
    const [ofA, ofB] = [a.of(LEFT), b.of(LEFT)];
    await join('sticky', c);
    await settled([a, b, c]);
    for (const [member, before] of [
      [a, ofA],
      [b, ofB],
    ] as const) {
      expect(member.of(LEFT).every((p) => before.includes(p))).toBe(true);
    }
    const ofC = c.of(LEFT);
    const [status] = await describeGroups(client, ['sticky']);
    expect(status?.state).toBe('Stable');
    const byMember = new Map(status?.members.map((m) => [m.memberId, m.assigned]));
    for (const member of [a, b, c]) {
      const { memberId = '', assigned, generation } = member.consumer?.describe() ?? {};
      expect(generation).toBeGreaterThan(0);
      const listed = (list: readonly TopicPartition[] | undefined) =>
        list?.map(({ topic, partition }) => `${topic}/${partition}`).toSorted();
      expect(listed(byMember.get(memberId))).toEqual(listed(assigned));
    }
    await leave(b);
    await settled([a, c]);
    expect(ofC.every((p) => c.of(LEFT).includes(p))).toBe(true);
    await eventually('every record was read', () => {
      const values = [a, b, c].flatMap((member) => member.values());
      return new Set(values).size === 16;
    });
  });

  it('gives partitions that nobody holds to who has their state', async () => {
    const [a, b] = [new Member(), new Member()];
    await join('warm', a, { warm: () => [1, 3, 5] });
    await join('warm', b, { warm: () => [0, 2, 4] });
    await settled([a, b]);
    await leave(a);
    await settled([b]);
    await join('warm', a, { warm: () => [1, 3, 5] });
    await settled([a, b]);
    expect(a.of(LEFT)).toEqual([1, 3, 5]);
  });

  it('lets a batch under way end and commit before the member joins again', async () => {
    const log: string[] = [];
    class Slow extends Member {
      override async onBatch(batch: PartitionBatch, control: BatchControl): Promise<void> {
        if (batch.topic !== 'left' || batch.partition !== 0) return super.onBatch(batch, control);
        log.push('begun');
        // Without any heartbeat of its own; it ends when it is told to.
        while (!control.rebalancing()) await delay(20);
        await control.commit(batch.nextOffset);
        log.push('committed');
      }
      override async onRebalance(): Promise<void> {
        log.push('drained');
      }
      override async onAssigned(held: readonly TopicPartition[]): Promise<void> {
        if (log.length > 0) log.push('assigned');
        return super.onAssigned(held);
      }
    }
    const slow = await join('slow', new Slow());
    await eventually('it works', () => log.includes('begun'));
    const other = await join('slow', new Member());
    await settled([slow, other]);
    expect(log.slice(0, 4)).toEqual(['begun', 'committed', 'drained', 'assigned']);
    const committed = await committedOffsets(client, 'slow', 'left');
    expect(committed.get(0)).toBe(3n);
  });

  it('pauses, resumes and seeks single partitions', async () => {
    const member = await join('paused', new Member());
    await eventually('all was read', () => member.values().length === 16);
    const { consumer } = member;
    consumer?.pause('left', 1);
    await fill('left', 1, ['l1c']);
    await fill('left', 2, ['l2c']);
    await eventually('the other partition goes on', () => member.values().includes('l2c'));
    await delay(300);
    expect(member.values()).not.toContain('l1c');
    consumer?.resume('left', 1);
    await eventually('it goes on', () => member.values().includes('l1c'));
    consumer?.seek('left', 1, 1n);
    await eventually(
      'it begins anew',
      () => member.values().filter((v) => v === 'l1b').length === 2,
    );
    expect(member.values().filter((v) => v === 'l1a').length).toBe(1);
  });

  it('goes on at the first offset when the next one was deleted, and commits nothing for the group', async () => {
    class Reader extends Member {
      override async onBatch(batch: PartitionBatch): Promise<void> {
        this.batches.push(batch);
      }
    }
    await fill('left', 5, ['d0', 'd1', 'd2']);
    const producer = await EpochProducer.open(client, 'positions');
    const position = { group: 'deleted', topic: 'left', partition: 5, nextOffset: 1n };
    await producer.commit(producer.begin(), [position]);
    await producer.close();
    await deleteRecordsBefore(client, 'left', 5, 4n);
    const member = await join('deleted', new Reader());
    await eventually('what is left was read', () => member.values().includes('d2'));
    expect(member.values().filter((value) => value.startsWith('d'))).toEqual(['d1', 'd2']);
    expect((await committedOffsets(client, 'deleted', 'left')).get(5)).toBe(1n);
  });

  it('holds what it gets until it is resumed, when it is to start paused; a batch that seeks comes again', async () => {
    class Paused extends Member {
      seeks = 2;
      override async onBatch(batch: PartitionBatch): Promise<void> {
        this.batches.push(batch);
        if (batch.topic !== 'right' || this.seeks === 0) return;
        this.seeks -= 1;
        this.consumer?.seek('right', batch.partition, 0n);
      }
    }
    const member = await join('held', new Paused(), { startPaused: true });
    await eventually('it is assigned', () => member.of(RIGHT).length === RIGHT.partitions);
    await delay(300);
    expect(member.batches).toEqual([]);
    member.consumer?.resume('right', 2);
    await eventually('it came three times', () => member.values().length === 3);
    expect(member.values()).toEqual(['r2', 'r2', 'r2']);
  });
});
