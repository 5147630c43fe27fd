import type { TopicCodec } from '../../schemas/codec.ts';
import type { Payloads } from '../../schemas/payloads.ts';
import { retryOf, type TopicName } from '../../schemas/topics.ts';
import { deadLetter } from '../delivery/dead-letter.ts';
import { originOf } from '../delivery/redrive-record.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import { PackedEntry, unpackBatch } from '../operators/packed-batch.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import type { TaskState } from '../state/task-state.ts';
import {
  type RepartitionSource,
  type Source,
  type SubTopology,
  sourcesOf,
  type TopicSource,
} from '../topology/graph.ts';
import type { EpochOutput, Forward } from '../topology/operator.ts';
import { NO_SOURCE, type SourceRecord } from '../topology/record.ts';
import { Assembly } from './assembly.ts';
import { countOne, stepCounters, type TaskCounters } from './counters.ts';
import { Oversized, RetryLater } from './stops.ts';
import { Watermarks } from './watermarks.ts';

export interface CoreOptions {
  readonly pipeline: string;
  readonly sub: SubTopology;
  readonly partition: number;
  readonly codec: TopicCodec;
  readonly state: TaskState;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly output: EpochOutput;
  readonly counters: TaskCounters;
  /** A record of this topic goes to the DLQ. */
  readonly onDeadLetter?: (topic: string, code: string) => void;
  /** Upstream tasks that write a repartition topic: its channels. */
  readonly channelsOf: (topic: string) => number;
  readonly now: () => number;
  /** Whether the task has a partition of a source topic: one with fewer partitions has no channel here. */
  readonly reads: (topic: string) => boolean;
}

interface Input {
  readonly source: Source;
  readonly entry: Forward;
  /** Of its first channel. */
  readonly channel: number;
  /** Read to its end, as far as is known. */
  atEnd: boolean;
  lastRecordAt: number;
}

const WATERMARKS = 'channel-watermarks';
const NO_CHANNEL = -1;

/**
 * The operators of one task at work on records, without Kafka: what they write goes to `output`, what they keep to
 * `state`. One epoch is: `process` …, `drain`, `endEpoch`. After a throw the epoch is void, and this object with it.
 */
export class TaskCore {
  readonly #options: CoreOptions;
  readonly #assembly: Assembly;
  readonly #watermarks: Watermarks;
  readonly #inputs = new Map<string, Input>();
  /** By the retry topic that redriven records of the source come through. */
  readonly #redriven = new Map<string, Input>();
  readonly #isTimed: boolean;
  readonly #isAsync: boolean;
  #isBehind = false;
  /** Of the records that are processed next, where they are not in them. */
  payloads: Payloads | undefined;

  constructor(options: CoreOptions) {
    this.#options = options;
    const { sub, channelsOf, now, reads } = options;
    this.#isTimed = sub.stateful;
    this.#isAsync = sub.nodes.some((node) => node.async);
    const channels: string[] = [];
    const first = new Map<Source, number>();
    for (const source of sourcesOf(sub)) {
      if (!reads(source.topic)) continue;
      // A table says nothing of event time: it holds no window back.
      const isTable = source.kind === 'topic' && source.bootstrap;
      first.set(source, isTable ? NO_CHANNEL : channels.length);
      const width = isTable ? 0 : source.kind === 'topic' ? 1 : channelsOf(source.topic);
      for (let i = 0; i < width; i += 1) channels.push(`${source.topic}/${i}`);
    }
    this.#watermarks = new Watermarks(channels);
    this.#assembly = new Assembly(sub, {
      partition: options.partition,
      state: options.state,
      tables: options.tables,
      epoch: options.output,
      counters: options.counters,
      writer: (topic) => options.codec.writer(topic),
      isIdle: () => this.#watermarks.allIdle,
      now,
      drop: (step, reason) => this.#drop(step, reason),
      deadLetter: (step, record, error, tenant) =>
        this.#deadLetter(step, record.source, error, tenant),
      retryLater: ({ source }, afterMs) => {
        throw new RetryLater(source, afterMs);
      },
    });
    for (const [source, channel] of first) {
      const entry = this.#assembly.entry(source.topic);
      const input = { source, entry, channel, atEnd: false, lastRecordAt: now() };
      this.#inputs.set(source.topic, input);
      this.#redriven.set(retryOf(source.topic, options.pipeline), input);
    }
  }

  /** Event time that the task has reached, ms. */
  get watermark(): number {
    return this.#watermarks.current;
  }

  /**
   * Whether timers are due that did not fit into the epoch: end it, then `catchUp` in epochs of their own until there
   * are none, before another record moves the watermark further.
   */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Once, with the state restored. */
  start(): void {
    const saved = this.#options.state.getMeta(WATERMARKS);
    if (saved !== undefined) this.#watermarks.restore(saved);
    this.#guarded(() => {
      for (const { node, operator } of this.#assembly.members) {
        this.#assembly.step = node.name;
        operator.start?.();
      }
    });
    // Timers that were due when the state was committed; else nothing happens.
    this.#isBehind = true;
  }

  #wake(): void {
    this.#isBehind = !this.#assembly.wake(this.#watermarks.current);
  }

  /** Goes on with timers that are due; `drain` follows. @throws as `process`. */
  catchUp(): void {
    if (!this.#isAsync) this.#guarded(() => this.#wake());
  }

  /** Processes one record of a source topic. @throws ReachflowError `STEP_FAILED`; RetryLater. */
  process(topic: string, record: KafkaRecord): void {
    const redriven = this.#redriven.get(topic);
    const input = redriven ?? this.#inputs.get(topic);
    if (input === undefined) throw new Error(`${this.#options.sub.name} does not read ${topic}`);
    this.#options.counters.recordsIn += 1;
    this.#options.counters.bytesIn += record.value?.length ?? 0;
    const source =
      redriven === undefined
        ? { topic, partition: this.#options.partition, record }
        : this.#origin(redriven, record);
    if (source === undefined) return;
    try {
      const isRedriven = redriven !== undefined;
      if (input.source.kind === 'topic')
        this.#processTopic(input, input.source, source, isRedriven);
      else this.#processPacked(input, input.source, source, isRedriven);
      if (!this.#isAsync) this.#wake();
    } catch (error) {
      throw this.#failed(source, error);
    }
  }

  /** A redriven record as it first came; undefined when it is not for this sub-topology. */
  #origin({ source: { topic } }: Input, record: KafkaRecord): SourceRecord | undefined {
    const origin = originOf(record);
    if (origin === undefined || origin.topic !== topic) {
      this.#drop('redrive', 'of unknown origin');
      return undefined;
    }
    const { step: failedStep } = origin;
    const source = { topic, partition: this.#options.partition, record: origin.record };
    if (failedStep === 'decode') return source;
    if (this.#options.sub.nodes.some(({ name }) => name === failedStep)) {
      return { ...source, failedStep };
    }
    // Another sub-topology that reads the same topic gave up on it.
    this.#drop('redrive', 'not ours');
    return undefined;
  }

  #processTopic(
    input: Input,
    { topic, time, tombstones }: TopicSource,
    source: SourceRecord,
    isRedriven: boolean,
  ): void {
    const { codec } = this.#options;
    const { record } = source;
    let key: string;
    let value: unknown;
    try {
      key = codec.decodeKey(topic, record.key);
      value = record.value === null ? null : codec.decode(topic, record.value, this.payloads);
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry === 'backoff') throw error;
      this.#deadLetter('decode', source, error);
      return;
    }
    if (value === null && !tombstones) {
      this.#drop('decode', 'tombstone');
      return;
    }
    const extract = time.timestamp as ((value: unknown, at: number) => number) | undefined;
    let timestamp = record.timestamp;
    if (extract !== undefined && value !== null) {
      const extracted = extract(value, record.timestamp);
      if (Number.isFinite(extracted)) timestamp = extracted;
    }
    const { channel } = input;
    const watermark = channel === NO_CHANNEL ? this.watermark : this.#watermarks.of(channel);
    input.entry({ key, value, timestamp, watermark, source });
    // What comes again, long after, says nothing of how far the source is.
    if (!this.#isTimed || channel === NO_CHANNEL || isRedriven) return;
    const reached = Math.min(timestamp, record.timestamp + time.maxAheadMs) - time.disorderMs;
    if (reached > watermark) this.#watermarks.advance(channel, reached);
  }

  #processPacked(
    input: Input,
    { serde }: RepartitionSource,
    source: SourceRecord,
    isRedriven: boolean,
  ): void {
    const { value } = source.record;
    if (value === null) return;
    const { entry } = input;
    const { channel, watermark, idle } = unpackBatch(value, (key, timestamp, at, bytes) => {
      const from = new PackedEntry(source, key, timestamp, at, bytes);
      entry({ key, value: serde.decode(bytes), timestamp, watermark: at, source: from });
    });
    if (isRedriven) return;
    this.#watermarks.advance(input.channel + channel, watermark);
    this.#watermarks.setIdle(input.channel + channel, idle);
  }

  /** Dead-letters a record for what it would write, in an epoch of its own. @throws ReachflowError `RECORD_TOO_LARGE`. */
  refuse({ source, step, reason }: Oversized): void {
    this.#deadLetter(step, source, reason);
  }

  /** Tells how far a source has been read: at its end, it may become idle. */
  seen(topic: string, atEnd: boolean, hadRecords: boolean): void {
    const input = this.#inputs.get(topic);
    if (input === undefined) return;
    input.atEnd = atEnd;
    if (!hadRecords) return;
    input.lastRecordAt = this.#options.now();
    if (input.source.kind === 'topic' && input.channel !== NO_CHANNEL) {
      this.#watermarks.setIdle(input.channel, false);
    }
  }

  /**
   * Lets time pass without records: sources that are silent become idle, and then event time follows the wall clock
   * at their distance, so that windows close. Call about each half second, outside of an epoch; `drain` follows.
   * @param isAtEnd whether it is known of now that a source has nothing more: while nothing is fetched, silence says
   *   nothing.
   */
  tick(isAtEnd: (topic: string) => boolean = () => true): void {
    const now = this.#options.now();
    for (const { source, channel, atEnd, lastRecordAt } of this.#inputs.values()) {
      if (source.kind !== 'topic' || channel === NO_CHANNEL || !atEnd) continue;
      const { idleAfterMs, disorderMs } = source.time;
      if (!isAtEnd(source.topic)) {
        this.#watermarks.setIdle(channel, false);
        continue;
      }
      if (now - lastRecordAt < idleAfterMs) continue;
      this.#watermarks.setIdle(channel, true);
      this.#watermarks.advance(channel, now - idleAfterMs - disorderMs);
    }
    this.#guarded(() => {
      this.#assembly.wakeWallClock(now);
      if (!this.#isAsync) this.#wake();
    });
  }

  tableChanged(topic: TopicName, key: string): void {
    this.#guarded(() => {
      for (const { node, operator } of this.#assembly.members) {
        if (!node.tables.some((table) => table.topic === topic)) continue;
        this.#assembly.step = node.name;
        operator.onTableChange?.(topic, key);
      }
    });
  }

  /** Resolves when no step has work under way. @throws as `process`. */
  async drain(): Promise<void> {
    if (!this.#isAsync) return;
    this.#assembly.source = NO_SOURCE;
    try {
      this.#isBehind = !(await this.#assembly.drainAndWake(this.#watermarks.current));
    } catch (error) {
      throw this.#failed(this.#assembly.source, error);
    }
  }

  /** The epoch's last records; they may begin work, too, which is awaited. @throws as `process`. */
  async endEpoch(): Promise<void> {
    this.#assembly.source = NO_SOURCE;
    try {
      for (const member of this.#assembly.members) {
        if (this.#isAsync) await this.#assembly.drain(member);
        this.#assembly.step = member.node.name;
        this.#assembly.isWaking = true;
        member.operator.endEpoch?.();
        this.#assembly.isWaking = false;
      }
    } catch (error) {
      throw this.#failed(this.#assembly.source, error);
    }
  }

  /** Puts the watermarks into the state, where they changed. */
  saveWatermarks(): void {
    if (!this.#isTimed || !this.#watermarks.takeChanged()) return;
    this.#options.state.setMeta(WATERMARKS, this.#watermarks.encode());
  }

  /** Its operators do nothing more: work under way is given up. */
  dispose(): void {
    for (const { operator } of this.#assembly.members) operator.dispose?.();
  }

  #drop(step: string, reason: string): void {
    const { counters } = this.#options;
    counters.dropped += 1;
    countOne(stepCounters(counters, step).dropped, reason);
  }

  #deadLetter(step: string, from: SourceRecord, error: ReachflowError, tenant?: string): void {
    const { counters, output, pipeline } = this.#options;
    const source = from.topic === '' ? this.#noSource() : from;
    counters.deadLettered += 1;
    countOne(stepCounters(counters, step).deadLettered, error.code);
    this.#options.onDeadLetter?.(source.topic, error.code);
    const letter = deadLetter({
      topic: source.topic,
      partition: source.partition,
      // Of a packed record the one entry: its neighbours were counted.
      record: source instanceof PackedEntry ? source.alone() : source.record,
      consumer: pipeline,
      step,
      error,
      attempts: 1,
      firstFailure: this.#options.now(),
      ...(tenant === undefined ? {} : { tenant }),
    });
    const partition = letter.partition ?? source.partition;
    const { topic, key, value, timestamp = source.record.timestamp, headers } = letter;
    output.append(topic, partition, key, value, timestamp, headers);
  }

  /** For dead letters that no record of this process is behind, such as of a timer that was restored. */
  #noSource(): SourceRecord {
    const { sub, partition, now } = this.#options;
    const topic = sourcesOf(sub)[0]?.topic ?? '';
    return { topic, partition, record: { ...NO_SOURCE.record, timestamp: now() } };
  }

  /** Work that no record of its own is behind. @throws as `process`. */
  #guarded(work: () => void): void {
    this.#assembly.source = NO_SOURCE;
    try {
      work();
    } catch (error) {
      throw this.#failed(this.#assembly.source, error);
    }
  }

  #failed(source: SourceRecord, cause: unknown): unknown {
    if (cause instanceof RetryLater) return cause;
    if (cause instanceof ReachflowError && cause.retry === 'backoff') return cause;
    if (cause instanceof ReachflowError && cause.code === 'RECORD_TOO_LARGE')
      return this.#tooLarge(source, cause);
    return stepFailed(this.#options.pipeline, this.#assembly.step, source, cause);
  }

  /**
   * The record at work is to blame for what it makes a step write; nobody is for what a timer, a closed window or the
   * epoch's end writes, nor any one entry of a packed record: then the task stops.
   */
  #tooLarge(source: SourceRecord, cause: ReachflowError): unknown {
    const { step, isWaking } = this.#assembly;
    const isOwn = this.#inputs.get(source.topic)?.source.kind === 'topic';
    return isOwn && !isWaking ? new Oversized(source, step, cause) : cause;
  }
}

/** Names everything that finds the record and the bug. */
export function stepFailed(
  pipeline: string,
  step: string,
  { topic, partition, record }: SourceRecord,
  cause: unknown,
): ReachflowError {
  const key = record.key === null ? 'null' : JSON.stringify(printable(record.key));
  const at = topic === '' ? '' : ` on ${topic}[${partition}]@${record.offset}, key ${key}`;
  return new ReachflowError(`step ${pipeline}.${step} threw${at}: ${errorMessage(cause)}`, {
    code: 'STEP_FAILED',
    domain: 'internal',
    hint: 'This is a bug in the step: only this task stops, at this record. Fix the step and start again.',
    cause,
  });
}

/** A key as text; Avro keys of Debezium have bytes that are none. */
function printable(key: Buffer): string {
  return key.toString('utf8').replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, '·');
}
