import {
  dlqOf,
  isTopicName,
  retryOf,
  type TopicName,
  type TopicValue,
} from '../../schemas/topics.ts';
import { type DeadLetterInfo, deadLetterInfo } from '../delivery/dead-letter.ts';
import { redrivenRecord } from '../delivery/redrive-record.ts';
import { partitionOfKey } from '../kafka/murmur2.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { StoreSpec } from '../state/contract.ts';
import { addCounters, newTaskCounters, type TaskCounters } from '../task/counters.ts';
import { taskCounts } from '../topic-plan.ts';
import { sourcesOf, type Topology } from '../topology/graph.ts';
import { DriverTask } from './driver-task.ts';
import { MemoryCodec } from './memory-codec.ts';
import { type CrashPoint, MemoryLog, SimulatedCrash } from './memory-log.ts';
import { entriesOf, type StoreEntry } from './store-entries.ts';

export interface TestDriverOptions {
  /** Of each topic, or of those named; default 1. */
  readonly partitions?: number | Readonly<Partial<Record<TopicName, number>>>;
  /** Input records of an epoch, at most; default 1,000. */
  readonly maxEpochRecords?: number;
  /** What the clock shows at first, ms since the epoch; default 2026-01-01T00:00:00Z. */
  readonly startMs?: number;
}

export interface PipeOptions {
  /** Of the Kafka record, ms; the clock's by default. */
  readonly timestamp?: number;
  /** Chosen by the key's hash, as producers do, by default; 0 without a key. */
  readonly partition?: number;
  readonly headers?: Readonly<Record<string, string | Buffer>>;
}

/** A record to pipe. */
export interface PipedRecord<T extends TopicName> extends PipeOptions {
  readonly key: string | null;
  /** null is a tombstone. */
  readonly value: TopicValue<T> | null;
}

/** A record that the topology wrote. */
export interface ReadRecord<T extends TopicName> {
  readonly key: string;
  readonly value: TopicValue<T> | null;
  /** ms since the epoch. */
  readonly timestamp: number;
  readonly partition: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** A dead letter: why, and the record as it was. */
export interface ReadDeadLetter {
  readonly info: DeadLetterInfo;
  readonly record: KafkaRecord;
}

/** 2026-01-01T00:00:00Z. */
const START_MS = 1_767_225_600_000;
/** Passes over all tasks until nothing moves; a topology has no cycles, so this many mean a bug. */
const MAX_PASSES = 10_000;

/**
 * A whole topology in one process, without a broker: the operators, tasks, epochs, state and changelog of production
 * over a log in memory, with a clock that stands still until it is moved. Each method that moves something resolves
 * when everything that follows from it has been committed.
 */
export class TopologyTestDriver {
  readonly #topology: Topology;
  readonly #codec: MemoryCodec;
  readonly #log: MemoryLog;
  readonly #options: TestDriverOptions;
  readonly #tables = new Map<TopicName, Map<string, unknown>>();
  readonly #read = new Map<string, bigint[]>();
  readonly #crashes: { readonly point: CrashPoint; times: number }[] = [];
  #tasks: DriverTask[] = [];
  #now: number;

  private constructor(topology: Topology, codec: MemoryCodec, options: TestDriverOptions) {
    this.#topology = topology;
    this.#codec = codec;
    this.#options = options;
    this.#now = options.startMs ?? START_MS;
    const counts = taskCounts(topology, (topic) => this.#partitionsOf(topic));
    const internal = new Map<string, number>();
    for (const [sub, tasks] of counts) {
      internal.set(`${topology.name}.${sub.name}.changelog`, tasks);
      for (const { sink } of sub.nodes)
        if (sink?.kind === 'repartition') internal.set(sink.topic, tasks);
      for (const { topic } of sourcesOf(sub)) {
        const width = isTopicName(topic) ? this.#partitionsOf(topic) : internal.get(topic);
        internal.set(dlqOf(topic, topology.name), width ?? tasks);
        internal.set(retryOf(topic, topology.name), width ?? tasks);
      }
    }
    this.#log = new MemoryLog((topic) =>
      isTopicName(topic) ? this.#partitionsOf(topic) : (internal.get(topic) ?? 1),
    );
    for (const { nodes } of topology.subTopologies)
      for (const { tables } of nodes)
        for (const { topic } of tables) this.#tables.set(topic, new Map());
    const channels = new Map(
      [...counts].flatMap(([sub, tasks]) =>
        sub.nodes.flatMap(({ sink }) => (sink === undefined ? [] : [[sink.topic, tasks] as const])),
      ),
    );
    for (const [sub, tasks] of counts) {
      for (let partition = 0; partition < tasks; partition += 1) {
        const task = new DriverTask({
          log: this.#log,
          codec: codec.codec,
          pipeline: topology.name,
          sub,
          partition,
          tables: this.#tables,
          channelsOf: (topic) => channels.get(topic) ?? 0,
          now: () => this.#now,
          maxEpochRecords: options.maxEpochRecords ?? 1_000,
          hook: (point) => this.#reach(point),
        });
        this.#tasks.push(task);
      }
    }
  }

  /** Opens all tasks of a topology. @throws as its steps do when they start. */
  static async open(
    topology: Topology,
    options: TestDriverOptions = {},
  ): Promise<TopologyTestDriver> {
    const driver = new TopologyTestDriver(topology, await MemoryCodec.create(), options);
    await driver.#attempt(() => Promise.resolve());
    return driver;
  }

  #partitionsOf(topic: TopicName): number {
    const { partitions = 1 } = this.#options;
    return typeof partitions === 'number' ? partitions : (partitions[topic] ?? 1);
  }

  /** The clock, ms since the epoch. */
  get now(): number {
    return this.#now;
  }

  /**
   * Writes a record to an input topic, as one batch.
   * @throws ReachflowError `STEP_FAILED` when a step threw: its task stands still until `crash`; `SCHEMA_MISMATCH`.
   */
  pipe<T extends TopicName>(
    topic: T,
    key: string | null,
    value: TopicValue<T>,
    options: PipeOptions = {},
  ): Promise<void> {
    return this.pipeAll(topic, [{ key, value, ...options }]);
  }

  /** Writes a record without a value. */
  pipeTombstone(topic: TopicName, key: string, options: PipeOptions = {}): Promise<void> {
    return this.pipeAll(topic, [{ key, value: null, ...options }]);
  }

  /** Writes records that tasks get as one batch, and so as one epoch unless it is larger than epochs may be. */
  async pipeAll<T extends TopicName>(topic: T, records: readonly PipedRecord<T>[]): Promise<void> {
    for (const { key, value, ...options } of records) {
      const bytes = value === null ? null : this.#codec.encode(topic, value);
      this.#append(topic, this.#codec.encodeKey(topic, key), bytes, options);
      this.#setRow(topic, value);
    }
    await this.#attempt(() => this.#announce());
  }

  /** Writes a record of any bytes, such as ones that cannot be decoded. */
  async pipeBytes(
    topic: TopicName,
    key: Buffer | null,
    value: Buffer | null,
    options: PipeOptions = {},
  ): Promise<void> {
    this.#append(topic, key, value, options);
    await this.#attempt();
  }

  /**
   * Sends a dead letter back to where it failed, as `reachflow dlq redrive` does; with another value, and the key as
   * this driver writes keys, when they are given.
   */
  async redrive<T extends TopicName>(
    { info, record }: ReadDeadLetter,
    patched?: { readonly topic: T; readonly value: TopicValue<T> | null; readonly key?: string },
  ): Promise<void> {
    const letter = { ...record };
    if (patched?.key !== undefined) letter.key = this.#codec.encodeKey(patched.topic, patched.key);
    if (patched !== undefined) {
      const { topic, value } = patched;
      letter.value = value === null ? null : this.#codec.encode(topic, value);
    }
    const again = redrivenRecord(letter, 'test', this.#now);
    this.#log.append(again.topic, info.partition, again);
    await this.#attempt();
  }

  #append(
    topic: TopicName,
    key: Buffer | null,
    value: Buffer | null,
    { timestamp = this.#now, partition, headers = {} }: PipeOptions,
  ): void {
    const chosen = key === null ? 0 : partitionOfKey(key, this.#partitionsOf(topic));
    this.#log.append(topic, partition ?? chosen, { key, value, timestamp, headers });
  }

  /** What was written to a topic since the last call, in the order in which it was written. */
  read<T extends TopicName>(topic: T): ReadRecord<T>[] {
    return this.#take(topic).map(({ record, partition }) => ({
      key: record.key?.toString('utf8') ?? '',
      value: record.value === null ? null : this.#codec.decode(topic, record.value),
      timestamp: record.timestamp,
      partition,
      headers: Object.fromEntries(
        Object.entries(record.headers).map(([name, header]) => [name, header.toString('utf8')]),
      ),
    }));
  }

  /** The values that were written to a topic since the last `read`. */
  readValues<T extends TopicName>(topic: T): (TopicValue<T> | null)[] {
    return this.read(topic).map(({ value }) => value);
  }

  /** Everything that was ever written to a topic. */
  readAll<T extends TopicName>(topic: T): ReadRecord<T>[] {
    this.#read.delete(topic);
    return this.read(topic);
  }

  /** What was dead-lettered since the last call, whatever topic it came from. */
  deadLetters(): ReadDeadLetter[] {
    const sources = new Set(
      this.#topology.subTopologies.flatMap((sub) => sourcesOf(sub).map(({ topic }) => topic)),
    );
    return [...sources]
      .flatMap((topic) => this.#take(dlqOf(topic, this.#topology.name)))
      .sort((a, b) => a.sequence - b.sequence)
      .map(({ record }) => ({ info: deadLetterInfo(record), record }));
  }

  #take(topic: string) {
    const from = this.#read.get(topic) ?? [];
    const records = this.#log.readTopic(topic, from);
    const next = [...from];
    for (const { partition, record } of records) next[partition] = record.offset + 1n;
    this.#read.set(topic, next);
    return records;
  }

  /** The store of a step, by its name, as the task of `partition` has it. */
  store<S>(name: string, partition = 0): S {
    for (const task of this.#tasks) {
      if (task.partition !== partition) continue;
      const spec = storesOf(task).find((declared) => declared.name === name);
      if (spec !== undefined) return task.current.state.store(spec) as S;
    }
    const names = [...new Set(this.#tasks.flatMap((task) => storesOf(task).map((s) => s.name)))];
    throw new Error(`no store ${name}; there are ${names.join(', ')}`);
  }

  /** What a key-value, TTL or window store holds, in all partitions. */
  entries(name: string): StoreEntry[] {
    return this.#tasks
      .filter((task) => storesOf(task).some((spec) => spec.name === name))
      .flatMap(({ partition }) => entriesOf(name, this.store(name, partition), partition));
  }

  /**
   * Moves the clock, and lets tasks notice: records that wait for another try, wall-clock timers, silent inputs. It
   * jumps: a timer that schedules itself again is called for each time that has passed.
   */
  async advanceWallClock(ms: number): Promise<void> {
    this.#now += ms;
    await this.#attempt();
    await this.#attempt(async () => {
      for (const task of this.#tasks) await task.tick();
    });
  }

  /**
   * Lets event time come to `toMs` without records, as production does: all inputs are silent for so long that they
   * are idle, and watermarks follow the clock.
   */
  async advanceWatermark(toMs: number): Promise<void> {
    const distance = this.#topology.subTopologies.flatMap((sub) =>
      sourcesOf(sub).map((source) =>
        source.kind === 'topic' ? source.time.idleAfterMs + source.time.disorderMs : 0,
      ),
    );
    const until = toMs + Math.max(...distance);
    // Silence counts from the last record, which came now at the latest.
    await this.advanceWallClock(Math.max(until - this.#now, Math.max(...distance)));
  }

  /** Event time that a task has reached, ms; -Infinity at first. */
  watermark(subTopology: string, partition = 0): number {
    return this.#task(subTopology, partition).current.watermark;
  }

  #task(subTopology: string, partition: number): DriverTask {
    const found = this.#tasks.find(
      (task) => task.name === subTopology && task.partition === partition,
    );
    if (found !== undefined) return found;
    const names = this.#topology.subTopologies.map(({ name }) => name).join(', ');
    throw new Error(`no task ${subTopology}[${partition}]; the sub-topologies are ${names}`);
  }

  /** Sets a row of a table that the topology holds whole (`joinGlobal`, `process`), or deletes it. */
  async setTable(topic: TopicName, key: string, row: unknown): Promise<void> {
    const rows = this.#tables.get(topic);
    if (rows === undefined) throw new Error(`no step has ${topic} as a table`);
    if (row === undefined) rows.delete(key);
    else rows.set(key, row);
    this.#changed.push({ topic, key });
    await this.#attempt(() => this.#announce());
  }

  readonly #changed: { readonly topic: TopicName; readonly key: string }[] = [];

  #setRow<T extends TopicName>(topic: T, value: TopicValue<T> | null): void {
    const rows = this.#tables.get(topic);
    if (rows === undefined || value === null) return;
    const specs = this.#topology.subTopologies.flatMap(({ nodes }) =>
      nodes.flatMap(({ tables }) => tables.filter((table) => table.topic === topic)),
    );
    const change = specs[0]?.toRow(value as never);
    if (change === undefined) return;
    if (change.row === undefined) rows.delete(change.key);
    else rows.set(change.key, change.row);
    this.#changed.push({ topic, key: change.key });
  }

  /** Tasks that restart read tables anew, without being told what changed. */
  async #announce(): Promise<void> {
    const changed = this.#changed.splice(0);
    for (const task of this.#tasks) await task.tableChanged(changed);
  }

  /** What the tasks that run now have done, since they were opened. */
  counters(): TaskCounters {
    const sum = newTaskCounters();
    for (const { current } of this.#tasks) addCounters(sum, current.counters);
    return sum;
  }

  /** Everything in memory is gone, at rest: tasks begin anew from what is in the log. */
  async crash(): Promise<void> {
    for (const task of this.#tasks) task.forget();
    await this.#attempt();
  }

  /** Lets the process crash when it comes to a point for the n-th time from now on; it then begins anew at once. */
  crashAt(point: CrashPoint, times = 1): void {
    this.#crashes.push({ point, times });
  }

  #reach(point: CrashPoint): void {
    for (const crash of this.#crashes) {
      if (crash.point !== point) continue;
      crash.times -= 1;
      if (crash.times > 0) continue;
      this.#crashes.splice(this.#crashes.indexOf(crash), 1);
      throw new SimulatedCrash(point);
    }
  }

  /** Crashes that were asked for and have not come yet. */
  get pendingCrashes(): readonly CrashPoint[] {
    return this.#crashes.map(({ point }) => point);
  }

  /** Does `work`, then all that follows from it, through crashes. Throws what a step threw, once the others are done. */
  async #attempt(work: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    for (let pass = 0; pass < MAX_PASSES; pass += 1) {
      try {
        for (const task of this.#tasks) await task.open();
        if (pass === 0) await work();
        await this.#settle();
        break;
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
        for (const task of this.#tasks) task.forget();
      }
    }
    for (const task of this.#tasks) task.throwNewFailure();
  }

  async #settle(): Promise<void> {
    for (let pass = 0; pass < MAX_PASSES; pass += 1) {
      let moved = false;
      for (const task of this.#tasks) moved = (await task.advance()) || moved;
      if (!moved) return;
    }
    throw new Error(`${this.#topology.name} does not come to rest`);
  }

  /** Lets go of everything. */
  async close(): Promise<void> {
    for (const task of this.#tasks) await task.close();
    this.#tasks = [];
  }
}

function storesOf(task: DriverTask): readonly StoreSpec<unknown>[] {
  return task.sub.nodes.flatMap(({ stores }) => stores);
}
