import { ReachflowError } from '../errors.ts';
import type { EpochOffset } from '../kafka/epoch-producer.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';

/**
 * Where a crash can strike: each await between a task and its log.
 * - `before-open`, `after-open`: around InitProducerId, which fences earlier owners;
 * - `restore`: positions are read, the state is not;
 * - `before-commit`: the epoch is done, nothing of it is in the log;
 * - `in-commit`: records are in the log, the transaction is open;
 * - `before-end`: records and positions are there, undecided;
 * - `after-end`: the transaction is committed, but its task does not know.
 */
export type CrashPoint =
  | 'before-open'
  | 'after-open'
  | 'restore'
  | 'before-commit'
  | 'in-commit'
  | 'before-end'
  | 'after-end';

export const CRASH_POINTS: readonly CrashPoint[] = [
  'before-open',
  'after-open',
  'restore',
  'before-commit',
  'in-commit',
  'before-end',
  'after-end',
];

/** Called at each point, by the one whose transactional id is `id`: it may wait, or throw a `SimulatedCrash`. */
export type CrashHook = (point: CrashPoint, id: string) => void | Promise<void>;

/** The process is gone at this moment: nothing of it runs on, and nothing is cleaned up. */
export class SimulatedCrash extends Error {
  readonly point: CrashPoint;

  constructor(point: CrashPoint) {
    super(`crashed at ${point}`);
    this.name = 'SimulatedCrash';
    this.point = point;
  }
}

type TransactionState = 'open' | 'committed' | 'aborted';

/** A transaction, as its records and its coordinator know it. */
export interface Transaction {
  state: TransactionState;
  readonly partitions: Set<Partition>;
  readonly offsets: Map<string, bigint>;
}

interface Entry {
  readonly record: KafkaRecord;
  /** Of the whole log, in the order in which records were appended. */
  readonly sequence: number;
  /** Undefined: written without a transaction. */
  readonly transaction: Transaction | undefined;
  /** Transaction markers take an offset, as on a broker. */
  readonly marker: boolean;
}

interface Partition {
  readonly entries: Entry[];
  /** First offset of each undecided transaction. */
  readonly undecided: Map<Transaction, number>;
  low: number;
}

/** A record that was read, and its place among all. */
export interface LoggedRecord {
  readonly record: KafkaRecord;
  readonly partition: number;
  readonly sequence: number;
}

/** What was read of a partition. */
export interface LogBatch {
  readonly records: readonly KafkaRecord[];
  readonly nextOffset: bigint;
  /** Nothing that can be read is behind it. */
  readonly atEnd: boolean;
}

interface ProducerState {
  epoch: number;
  transaction: Transaction | undefined;
}

/**
 * Kafka in memory, as far as tasks use it: partitions, transactions with producer epochs (KIP-98), committed
 * positions, read-committed reading, deletion of old records. Synchronous, so that a test decides what is interleaved.
 */
export class MemoryLog {
  readonly #partitionsOf: (topic: string) => number;
  readonly #topics = new Map<string, Partition[]>();
  readonly #producers = new Map<string, ProducerState>();
  readonly #positions = new Map<string, bigint>();
  #sequence = 0;

  /** @param partitionsOf a topic; topics are there as soon as they are asked for. */
  constructor(partitionsOf: (topic: string) => number) {
    this.#partitionsOf = partitionsOf;
  }

  /** Topics that were written or read so far. */
  get topics(): readonly string[] {
    return [...this.#topics.keys()];
  }

  partitionCount(topic: string): number {
    return this.#partitionsOf(topic);
  }

  #partition(topic: string, partition: number): Partition {
    let partitions = this.#topics.get(topic);
    if (partitions === undefined) {
      const count = this.#partitionsOf(topic);
      partitions = Array.from({ length: count }, () => ({
        entries: [],
        undecided: new Map<Transaction, number>(),
        low: 0,
      }));
      this.#topics.set(topic, partitions);
    }
    const found = partitions[partition];
    if (found === undefined) throw new Error(`${topic} has no partition ${partition}`);
    return found;
  }

  /** Writes a record, within a transaction when one is given. Returns its offset. */
  append(
    topic: string,
    partition: number,
    { key, value, headers = {}, timestamp = 0 }: Omit<OutgoingRecord, 'topic' | 'partition'>,
    transaction?: Transaction,
  ): bigint {
    const to = this.#partition(topic, partition);
    const offset = BigInt(to.entries.length);
    const record: KafkaRecord = {
      offset,
      timestamp,
      key: typeof key === 'string' ? Buffer.from(key) : key,
      // A copy, as sending makes one: what is written does not change with the writer's buffers.
      value: value === null ? null : Buffer.from(value),
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, header]) => [name, Buffer.from(header)]),
      ),
    };
    this.#sequence += 1;
    to.entries.push({ record, sequence: this.#sequence, transaction, marker: false });
    if (transaction !== undefined && !transaction.partitions.has(to)) {
      transaction.partitions.add(to);
      to.undecided.set(transaction, Number(offset));
    }
    return offset;
  }

  /** Committed records from `from` on, up to the first undecided one: read_committed. */
  read(topic: string, partition: number, from: bigint, limit = Number.MAX_SAFE_INTEGER): LogBatch {
    const { entries, low } = this.#partition(topic, partition);
    const end = Number(this.lastStable(topic, partition));
    const records: KafkaRecord[] = [];
    let at = Math.max(Number(from), low);
    for (; at < end && records.length < limit; at += 1) {
      const entry = entries[at];
      if (entry !== undefined && isCommitted(entry)) records.push(entry.record);
    }
    // Markers and aborted records behind the last one are passed over with it.
    while (at < end && !isCommitted(entries[at])) at += 1;
    return { records, nextOffset: BigInt(at), atEnd: at === end };
  }

  /** Every committed record of a topic from the given offsets on, in the order in which they were written. */
  readTopic(topic: string, from: readonly bigint[] = []): LoggedRecord[] {
    const found: LoggedRecord[] = [];
    for (let partition = 0; partition < this.#partitionsOf(topic); partition += 1) {
      const { entries } = this.#partition(topic, partition);
      const { records } = this.read(topic, partition, from[partition] ?? 0n);
      for (const record of records) {
        const sequence = entries[Number(record.offset)]?.sequence ?? 0;
        found.push({ record, partition, sequence });
      }
    }
    return found.sort((a, b) => a.sequence - b.sequence);
  }

  /** First offset that is still there. */
  low(topic: string, partition: number): bigint {
    return BigInt(this.#partition(topic, partition).low);
  }

  /** Next offset, undecided records included. */
  high(topic: string, partition: number): bigint {
    return BigInt(this.#partition(topic, partition).entries.length);
  }

  /** Where readers of committed records end. */
  lastStable(topic: string, partition: number): bigint {
    const { entries, undecided } = this.#partition(topic, partition);
    return BigInt(Math.min(entries.length, ...undecided.values()));
  }

  /** As DeleteRecords: what is before `offset` is gone. */
  deleteBefore(topic: string, partition: number, offset: bigint): void {
    const from = this.#partition(topic, partition);
    from.low = Math.max(from.low, Math.min(Number(offset), from.entries.length));
  }

  /** Committed next offset of a group. */
  committed(group: string, topic: string, partition: number): bigint | undefined {
    return this.#positions.get(`${group}/${topic}/${partition}`);
  }

  /** InitProducerId: aborts the open transaction of an earlier owner and fences it. Returns the new epoch. */
  initProducer(id: string): number {
    const producer = this.#producers.get(id) ?? { epoch: -1, transaction: undefined };
    this.#producers.set(id, producer);
    if (producer.transaction !== undefined) this.#decide(producer, 'aborted');
    producer.epoch += 1;
    return producer.epoch;
  }

  /** The open transaction, begun if there is none. @throws ReachflowError `FENCED`. */
  transaction(id: string, epoch: number): Transaction {
    const producer = this.#owned(id, epoch);
    producer.transaction ??= { state: 'open', partitions: new Set(), offsets: new Map() };
    return producer.transaction;
  }

  /** Positions that the open transaction will commit. @throws ReachflowError `FENCED`. */
  addOffsets(id: string, epoch: number, offsets: readonly EpochOffset[]): void {
    const { offsets: own } = this.transaction(id, epoch);
    for (const { group, topic, partition, nextOffset } of offsets)
      own.set(`${group}/${topic}/${partition}`, nextOffset);
  }

  /** EndTxn: all records and positions of the transaction count from now on, or never. @throws ReachflowError `FENCED`. */
  endTransaction(id: string, epoch: number, state: 'committed' | 'aborted'): void {
    this.#decide(this.#owned(id, epoch), state);
  }

  #owned(id: string, epoch: number): ProducerState {
    const producer = this.#producers.get(id);
    if (producer !== undefined && producer.epoch === epoch) return producer;
    throw new ReachflowError('another owner of this transactional id took over', {
      code: 'FENCED',
      domain: 'external',
    });
  }

  #decide(producer: ProducerState, state: 'committed' | 'aborted'): void {
    const { transaction } = producer;
    producer.transaction = undefined;
    if (transaction === undefined) return;
    transaction.state = state;
    for (const { entries, undecided } of transaction.partitions) {
      undecided.delete(transaction);
      const offset = BigInt(entries.length);
      const record = { offset, timestamp: 0, key: null, value: null, headers: {} };
      entries.push({ record, sequence: 0, transaction, marker: true });
    }
    if (state === 'aborted') return;
    for (const [position, nextOffset] of transaction.offsets)
      this.#positions.set(position, nextOffset);
  }
}

function isCommitted(entry: Entry | undefined): boolean {
  if (entry === undefined || entry.marker) return false;
  return entry.transaction === undefined || entry.transaction.state === 'committed';
}
