import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { changelogOf, type TopicName, type TopicValue } from '../../schemas/topics.ts';
import { deadLetter } from '../delivery/dead-letter.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaClient } from '../kafka/client.ts';
import {
  type KafkaRecord,
  type OutgoingRecord,
  type PartitionBatch,
  recordBytes,
} from '../kafka/record.ts';
import type { TransactionalProducer } from '../kafka/transactional-producer.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import { TaskState } from '../state/store.ts';
import type { EmitOptions, Outcome, Processor, ProcessorSpec, TaskContext } from './processor.ts';

/** What a task is made of. */
export interface TaskOptions<T extends TopicName> {
  readonly pipeline: string;
  readonly spec: ProcessorSpec<T>;
  readonly partition: number;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly producer: TransactionalProducer;
  /** Committed next offset of the input partition, read after the producer was opened. */
  readonly position: bigint;
}

/** Input records by what became of them, since the process started. */
export interface TaskCounts {
  in: number;
  ok: number;
  dropped: number;
  deadLettered: number;
  epochs: number;
}

type InputBatch = Pick<PartitionBatch, 'records' | 'nextOffset'>;

/** An epoch is committed early once its outputs have this many bytes. */
const MAX_EPOCH_BYTES = 4_194_304;
const CHANGED_KEYS_PER_EPOCH = 500;
/** Changelog record that every epoch writes: a transaction of offsets alone fails in the client. */
const EPOCH_KEY = '#epoch';

/** Group of a processor: its name without the namespace. */
export function groupOf(pipeline: string, processor: string): string {
  return `${pipeline}.${processor}`;
}

/**
 * A processor on one partition: the single writer of its state. Records, state and the input position commit
 * in one Kafka transaction per epoch. After a failed commit the task is of no further use: its state is ahead
 * of the log, so the runner opens a new one from what is committed.
 */
export class Task<T extends TopicName> {
  readonly counts: TaskCounts = { in: 0, ok: 0, dropped: 0, deadLettered: 0, epochs: 0 };
  readonly state: TaskState;
  readonly #options: TaskOptions<T>;
  readonly #processor: Processor<T>;
  #position: bigint;
  #outputs: OutgoingRecord[] = [];
  #outputBytes = 0;
  #timestamp = 0;
  #changedKeys = new Map<string, TopicName>();
  /** Why this task is of no further use: what is queued behind a failed epoch must not run on its state. */
  #broken: unknown;
  /** Epochs run one after the other: a table change never falls into the middle of a batch. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: TaskOptions<T>) {
    this.#options = options;
    this.#position = options.position;
    this.state = new TaskState(options.spec.stores);
    this.#processor = options.spec.create(this.#context());
  }

  /** Next input offset to process. */
  get position(): bigint {
    return this.#position;
  }

  #context(): TaskContext {
    const { partition, tables, spec } = this.#options;
    return {
      partition,
      store: (declared) => this.state.store(declared),
      table: <O extends TopicName, R>({ topic }: { topic: O }) => {
        const table = tables.get(topic);
        if (table === undefined)
          throw new Error(`${spec.name} does not declare the table ${topic}`);
        return table as BroadcastTable<R>;
      },
      emit: (topic, key, value, options) => this.#emit(topic, key, value, options),
    };
  }

  #emit<O extends TopicName>(
    topic: O,
    key: string,
    value: TopicValue<O> | null,
    options: EmitOptions | undefined,
  ): void {
    this.#push({
      topic,
      key,
      value: value === null ? null : this.#options.codec.encode(topic, value),
      timestamp: options?.timestamp ?? this.#timestamp,
      ...(options?.headers === undefined ? {} : { headers: options.headers }),
    });
  }

  #push(record: OutgoingRecord): void {
    this.#outputs.push(record);
    this.#outputBytes += recordBytes(record);
  }

  /** Lets the processor look at its restored state. Call once, before the first batch. */
  start(): Promise<void> {
    return this.#serially(async () => {
      this.#processor.onStart?.();
      if (this.#outputs.length > 0) await this.#commit();
    });
  }

  /**
   * Processes a batch, in one or more epochs; records before the position were processed already.
   * @throws ReachflowError `STEP_FAILED` (a bug, retry: none), or what a commit throws.
   */
  run({ records, nextOffset }: InputBatch, heartbeat: () => Promise<void>): Promise<void> {
    return this.#serially(() => this.#run(records, nextOffset, heartbeat));
  }

  /** Commits that the input was read up to `nextOffset`, where there was no record. */
  skipTo(nextOffset: bigint): Promise<void> {
    return this.#serially(async () => {
      if (nextOffset <= this.#position) return;
      this.#position = nextOffset;
      await this.#commit();
    });
  }

  async #run(
    records: readonly KafkaRecord[],
    nextOffset: bigint,
    heartbeat: () => Promise<void>,
  ): Promise<void> {
    const { codec, spec, client } = this.#options;
    await codec.load(
      spec.input,
      records.map(({ value }) => value),
    );
    let inEpoch = 0;
    for (const record of records) {
      if (record.offset < this.#position) continue;
      await this.#processOne(record);
      this.#position = record.offset + 1n;
      inEpoch += 1;
      if (inEpoch >= client.config.maxEpochRecords || this.#outputBytes >= MAX_EPOCH_BYTES) {
        await this.#commit();
        await heartbeat();
        inEpoch = 0;
      }
    }
    if (nextOffset <= this.#position && inEpoch === 0) return;
    this.#position = nextOffset;
    await this.#commit();
  }

  async #processOne(record: KafkaRecord): Promise<void> {
    const { codec, spec, partition } = this.#options;
    this.counts.in += 1;
    this.#timestamp = record.timestamp;
    let outcome: Outcome;
    let input: Parameters<Processor<T>['process']>[0];
    try {
      const value = record.value === null ? null : codec.decode(spec.input, record.value);
      const key = await codec.decodeKey(spec.input, record.key);
      input = { key, value, timestamp: record.timestamp, partition, offset: record.offset };
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry === 'backoff') throw error;
      this.#deadLetter(record, 'decode', error);
      return;
    }
    try {
      outcome = this.#processor.process(input);
    } catch (error) {
      throw this.#stepFailed(record, input.key, error);
    }
    if (outcome.kind === 'ok') this.counts.ok += 1;
    else if (outcome.kind === 'drop') this.counts.dropped += 1;
    else this.#deadLetter(record, spec.name, outcome.error, outcome.tenant);
  }

  #deadLetter(record: KafkaRecord, step: string, error: ReachflowError, tenant?: string): void {
    const { spec, pipeline, partition } = this.#options;
    this.counts.deadLettered += 1;
    this.#push(
      deadLetter({
        topic: spec.input,
        partition,
        record,
        consumer: pipeline,
        step,
        error,
        attempts: 1,
        firstFailure: Date.now(),
        ...(tenant === undefined ? {} : { tenant }),
      }),
    );
  }

  #stepFailed(record: KafkaRecord, key: string, cause: unknown): ReachflowError {
    const { pipeline, spec, partition } = this.#options;
    const at = `${spec.input}[${partition}]@${record.offset}`;
    return new ReachflowError(
      `step ${pipeline}.${spec.name} threw on ${at}, key ${JSON.stringify(key)}: ${errorMessage(cause)}`,
      {
        code: 'STEP_FAILED',
        domain: 'internal',
        hint: 'This is a bug in the step: only this task stops, at this record. Fix the step and start again.',
        cause,
      },
    );
  }

  /** Notes that a table's row changed; handled between batches, by `runTableChanges`. */
  tableChanged(topic: TopicName, key: string): void {
    this.#changedKeys.set(key, topic);
  }

  /** Handles the noted table changes, in epochs of bounded size. @throws as `run`. */
  runTableChanges(): Promise<void> {
    return this.#serially(async () => {
      while (this.#changedKeys.size > 0) {
        let taken = 0;
        for (const [key, topic] of this.#changedKeys) {
          this.#changedKeys.delete(key);
          this.#timestamp = Date.now();
          this.#processor.onTableChange?.(topic, key);
          taken += 1;
          if (taken >= CHANGED_KEYS_PER_EPOCH || this.#outputBytes >= MAX_EPOCH_BYTES) break;
        }
        if (this.#outputs.length > 0) await this.#commit();
      }
    });
  }

  async #commit(): Promise<void> {
    const { producer, pipeline, spec, partition } = this.#options;
    this.#processor.endEpoch?.();
    const changelog = changelogOf(pipeline, spec.name);
    const position = { key: EPOCH_KEY, value: Buffer.from(String(this.#position)) };
    for (const change of [...this.state.takeChanges(), position]) {
      this.#outputs.push({ topic: changelog, partition, key: change.key, value: change.value });
    }
    const records = this.#outputs;
    this.#outputs = [];
    this.#outputBytes = 0;
    const group = groupOf(pipeline, spec.name);
    const offsets = { group, topic: spec.input, partition, nextOffset: this.#position };
    await producer.commit({ records, offsets });
    this.counts.epochs += 1;
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const run = this.#last.then(() => {
      if (this.#broken !== undefined) throw this.#broken;
      return work();
    });
    this.#last = run.catch((error: unknown) => {
      this.#broken = error;
    });
    return run;
  }

  /** Waits for the epoch under way, then closes the producer. */
  async close(): Promise<void> {
    await this.#last;
    await this.#options.producer.close();
  }
}
