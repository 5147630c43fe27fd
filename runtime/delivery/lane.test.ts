import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';
import { systemClock } from './clock.ts';
import { deliveryConfigSchema } from './config.ts';
import { Lane } from './lane.ts';
import { BufferBudget } from './lane-buffer.ts';
import { planMetadata, plannedPosition } from './planned-position.ts';
import type { CommittedPosition, GroupPositions } from './position.ts';
import { waitingRecord } from './retry-record.ts';
import { DELIVERED, HELD, type RecordResult, type Sink, type SinkBatch } from './sink.ts';
import { StoreGate } from './store-gate.ts';

const TOPIC = 'contact.golden';
const config = deliveryConfigSchema.parse({
  retryInitialMs: 1,
  retryMaxMs: 2,
  parking: { maxRecords: 10 },
});
const logger = pino({ level: 'silent' });

class Source {
  readonly sought: bigint[] = [];
  isPaused = false;
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  seek(offset: bigint): void {
    this.sought.push(offset);
  }
}

function record(offset: bigint, headers: KafkaRecord['headers'] = {}): KafkaRecord {
  const text = Buffer.from(String(offset));
  return { offset, timestamp: 5, key: text, value: text, headers };
}

function records(from: number, to: number): KafkaRecord[] {
  return Array.from({ length: to - from }, (_, i) => record(BigInt(from + i)));
}

/** A record of the retry topic whose own offset is the same. */
function waiting(offset: bigint): KafkaRecord {
  const of = Buffer.from(String(offset));
  return record(offset, { '__reachflow.errors.offset': of, '__reachflow.errors.timestamp': of });
}

const sick = new ReachflowError('away', { code: 'AWAY', domain: 'external', retry: 'backoff' });
const bad = new ReachflowError('bad', { code: 'BAD', domain: 'user' });

function positionsOf(broker: Partial<CommittedPosition>): GroupPositions {
  return {
    committed: async () => ({
      ...{ offset: undefined, metadata: '', isOfTopic: true, isOther: false, low: 0n, high: 0n },
      end: broker.high ?? 0n,
      ...broker,
    }),
    commit: async () => undefined,
  };
}

describe('a lane', () => {
  const lanes: Lane[] = [];
  afterEach(() => {
    for (const lane of lanes.splice(0)) lane.kill();
  });

  async function start(
    write: (batch: SinkBatch) => readonly RecordResult[],
    publish: (records: readonly OutgoingRecord[]) => Promise<void> = async () => undefined,
    broker: { main?: Partial<CommittedPosition>; retry?: Partial<CommittedPosition> } = {},
  ) {
    const main = { ...broker.main };
    const sink: Sink = {
      name: 'scripted',
      mode: 'planned',
      topics: [TOPIC],
      limits: { records: 20_000, bytes: 10_000_000, lingerMs: 0 },
      writers: 1,
      open: async () => undefined,
      write: async (batch) => write(batch),
      close: async () => undefined,
    };
    const [source, retrySource] = [new Source(), new Source()];
    const positions = positionsOf(main);
    const failures: unknown[] = [];
    const settled: [records: number, rejected: number][] = [];
    const lane = new Lane({
      topic: TOPIC,
      partition: 0,
      sink,
      gate: new StoreGate({ sink, config, clock: systemClock, logger }),
      config,
      clock: systemClock,
      logger,
      decode: async (raws) =>
        raws.map((raw) => {
          const { offset, timestamp } = raw;
          const fields = { key: String(raw.key), value: {}, version: 1n };
          return { raw, record: { topic: TOPIC, partition: 0, offset, timestamp, ...fields } };
        }),
      publish,
      deadLettered: () => undefined,
      delivered: () => undefined,
      settled: (...told) => settled.push(told),
      position: plannedPosition(positions, TOPIC, 0),
      positions: { committed: async () => ({ ...(await positions.committed()), ...main }) },
      budget: new BufferBudget(1_000_000_000),
      parkingLimits: () => ({ records: config.parking.maxRecords, bytes: config.parking.maxBytes }),
      source,
      retrySource,
      retryPositions: positionsOf({ ...broker.retry }),
      onFatal: (error) => failures.push(error),
    });
    lanes.push(lane);
    await until(() => source.sought.length > 0);
    return { lane, source, retrySource, main, failures, settled };
  }

  async function until(isSo: () => boolean): Promise<void> {
    for (const end = Date.now() + 30_000; !isSo(); ) {
      if (Date.now() > end) throw new Error('it did not happen');
      await turn();
    }
  }

  it('dead-letters more records of one batch than a publisher queues', async () => {
    let letters = 0;
    const publish = async (some: readonly OutgoingRecord[]) => {
      if (some.length > 10_000) throw sick;
      letters += some.length;
    };
    const { lane } = await start(
      (batch) => batch.records.map(() => ({ status: 'rejected', error: bad })),
      publish,
    );
    lane.push({ records: records(0, 12_000), from: 0n, next: 12_000n, end: 12_000n });
    await until(() => lane.status().position === 12_000);
    expect(letters).toBe(12_000);
  });

  it('tells what is rejected with what is delivered of the same batch, or its share would be too large', async () => {
    const { lane, settled } = await start((batch) =>
      batch.records.map(({ offset }): RecordResult => {
        return offset % 100n === 0n ? { status: 'rejected', error: bad } : DELIVERED;
      }),
    );
    lane.push({ records: records(0, 12_000), from: 0n, next: 12_000n, end: 12_000n });
    await until(() => lane.status().position === 12_000);
    expect(settled).toEqual([[12_000, 120]]);
  });

  it('offers a planned range again as it was, with what was rejected of it, and dead-letters that once', async () => {
    const batches: SinkBatch[] = [];
    const letters: string[] = [];
    const write = (batch: SinkBatch): RecordResult[] => {
      batches.push(batch);
      const isFirst = batches.length === 1;
      return batch.records.map(({ offset }): RecordResult => {
        if (offset === 1n) return { status: 'rejected', error: bad };
        if (offset === 2n && isFirst) return { status: 'retry', of: 'store', error: sick };
        return DELIVERED;
      });
    };
    const { lane } = await start(write, async (some) => {
      letters.push(...some.map(({ key }) => String(key)));
    });
    lane.push({ records: records(0, 3), from: 0n, next: 3n, end: 3n });
    await until(() => lane.status().position === 3);
    expect(batches.map((batch) => batch.records.map(({ offset }) => offset))).toEqual([
      [0n, 1n, 2n],
      [0n, 1n, 2n],
    ]);
    expect(batches[0]?.range?.origin).toMatch(/^[\w-]{27}$/);
    expect(batches[1]?.range).toEqual(batches[0]?.range);
    expect(letters).toEqual(['1']);
  });

  it('dead-letters in part what is larger than its DLQ takes, and says so', async () => {
    const letters: OutgoingRecord[] = [];
    const tooLarge = new ReachflowError('large', { code: 'RECORD_TOO_LARGE', domain: 'user' });
    const { lane } = await start(
      (batch) => batch.records.map(() => ({ status: 'rejected', error: bad })),
      async (some) => {
        if (some.some(({ value }) => (value?.length ?? 0) > 2_000)) throw tooLarge;
        letters.push(...some);
      },
    );
    const large = { ...record(1n), value: Buffer.alloc(5_000, 'x') };
    const given = [record(0n), large, record(2n)];
    lane.push({ records: given, from: 0n, next: 3n, end: 3n });
    await until(() => lane.status().position === 3);
    const [first, less, last] = letters;
    expect([first?.key, less?.key, last?.key].map(String)).toEqual(['0', '1', '2']);
    expect(less?.value).toEqual(Buffer.alloc(1_024, 'x'));
    expect(less?.headers).toMatchObject({
      '__reachflow.errors.truncated': 'value',
      '__reachflow.errors.offset': '1',
    });
    expect(last?.headers).not.toHaveProperty('__reachflow.errors.truncated');
  });

  it('dead-letters what is larger than its retry topic takes, and its key goes on', async () => {
    const letters: OutgoingRecord[] = [];
    const tooLarge = new ReachflowError('large', { code: 'RECORD_TOO_LARGE', domain: 'user' });
    const { lane } = await start(
      (batch) =>
        batch.records.some(({ offset }) => offset === 0n)
          ? batch.records.map(({ offset }) =>
              offset === 0n ? { status: 'retry', of: 'record', error: sick } : HELD,
            )
          : batch.records.map(() => DELIVERED),
      async (some) => {
        if (some.some(({ topic }) => topic.endsWith('.retry'))) throw tooLarge;
        letters.push(...some);
      },
    );
    lane.push({ records: records(0, 2), from: 0n, next: 2n, end: 2n });
    await until(() => lane.status().position === 2);
    expect(letters.map(({ topic, key }) => `${topic} ${key}`)).toEqual([
      'contact.golden.scripted.dlq 0',
    ]);
    expect(letters[0]?.headers).toMatchObject({ '__reachflow.errors.code': 'RECORD_TOO_LARGE' });
    expect(lane.parkedKeys).toBe(0);
  });

  it('writes what retention left of a planned range under the name that it had', async () => {
    const batches: SinkBatch[] = [];
    const plan = planMetadata({ end: 60n, origin: 'as-it-was', seen: 0n });
    const { lane } = await start(
      (batch) => {
        batches.push(batch);
        return batch.records.map(() => DELIVERED);
      },
      undefined,
      { main: { offset: 40n, metadata: plan, low: 50n, high: 60n } },
    );
    lane.push({ records: records(50, 60), from: 50n, next: 60n, end: 60n });
    await until(() => lane.status().position === 60);
    expect(batches.map(({ range }) => range)).toEqual([
      { start: 40n, end: 60n, epoch: 0n, origin: 'as-it-was' },
    ]);
    expect(batches[0]?.records).toHaveLength(10);
  });

  it('goes on behind records that retention deleted while it waited', async () => {
    const written: bigint[] = [];
    const { lane, source, main } = await start(({ records: given }) => {
      written.push(...given.map(({ offset }) => offset));
      return given.map(() => DELIVERED);
    });
    main.low = 50n;
    main.high = 60n;
    const late = { records: records(50, 60), from: 50n, next: 60n, end: 60n };
    lane.push(late);
    expect(source.sought.at(-1)).toBe(0n);
    lane.push(late);
    await until(() => source.sought.at(-1) === 50n);
    expect(source.isPaused).toBe(false);
    lane.push(late);
    await until(() => lane.status().position === 60);
    expect(written).toEqual(records(50, 60).map(({ offset }) => offset));
  });

  it('stops reading its retry topic while more waits than it may hold, and reads on', async () => {
    let isSick = true;
    let written = 0;
    const { lane, retrySource } = await start(
      ({ records: given }) => {
        if (isSick) return given.map(() => ({ status: 'retry', of: 'store', error: sick }));
        written += given.length;
        return given.map(() => DELIVERED);
      },
      undefined,
      { main: { offset: 1_000n, low: 0n, high: 1_000n }, retry: { high: 30n } },
    );
    const first = Array.from({ length: 15 }, (_, i) => waiting(BigInt(i)));
    expect(waitingRecord(first[3] ?? record(0n))?.record.offset).toBe(3n);
    lane.pushRetries({ records: first, from: 0n, next: 15n, end: 30n });
    expect(retrySource.isPaused).toBe(true);
    isSick = false;
    await until(() => written === 15 && !retrySource.isPaused);
    const rest = Array.from({ length: 15 }, (_, i) => waiting(BigInt(15 + i)));
    lane.pushRetries({ records: rest, from: 15n, next: 30n, end: 30n });
    await until(() => written === 30);
  });
});
