import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { isTopicName, type TopicName } from '../../schemas/topics.ts';
import { type BackoffOptions, backoffMs, waitWithHeartbeat } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { OwnedPublisher } from '../kafka/batching-publisher.ts';
import type { KafkaClient } from '../kafka/client.ts';
import {
  type BatchControl,
  type PartitionConsumer,
  type PartitionHandler,
  startPartitionConsumer,
  type TopicPartition,
} from '../kafka/partition-consumer.ts';
import type { KafkaRecord, PartitionBatch } from '../kafka/record.ts';
import type { SinkMetrics } from '../observability/delivery-metrics.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { InputStatus, SinkStatus } from '../observability/process-status.ts';
import type { BatchWork, Tracing } from '../observability/tracing.ts';
import type { DeliveryConfig } from './config.ts';
import { deadLetter } from './dead-letter.ts';
import type { Sink, SinkRecord } from './sink.ts';

/** Header that carries the version of a tombstone, which has no value to carry it. */
export const VERSION_HEADER = 'reachflow.version';

export interface SinkRunnerOptions {
  readonly sink: Sink;
  readonly config: DeliveryConfig;
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  /** Where dead letters go; acknowledged before the offset is committed. */
  readonly publisher: OwnedPublisher;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly tracing?: Tracing | undefined;
  readonly onFatal: (error: ReachflowError) => void;
}

export interface SinkCounts {
  delivered: number;
  deadLettered: number;
  retries: number;
  /** ms since the epoch of the oldest failure of the store that is not over; 0 when it is well. */
  sickSince: number;
}

/** Consumer group of a sink. */
export function sinkGroup(name: string): string {
  return `sink.${name}`;
}

interface Pending {
  readonly raw: KafkaRecord;
  readonly record: SinkRecord;
}

/**
 * Feeds one sink. A store that cannot take a batch is tried again in place, for as long as it takes: its
 * partition waits and nothing goes to the DLQ. A record that can never be written goes to the DLQ, and only
 * when that is acknowledged is the offset committed.
 */
export class SinkRunner implements PartitionHandler {
  readonly counts: SinkCounts = { delivered: 0, deadLettered: 0, retries: 0, sickSince: 0 };
  readonly #options: SinkRunnerOptions;
  readonly #logger: Logger;
  readonly #backoff: BackoffOptions;
  readonly #stopped = new AbortController();
  readonly #metrics: SinkMetrics | undefined;
  /** By `<topic>/<partition>`, of the partitions held. */
  readonly #inputs = new Map<string, InputStatus>();
  #consumer: PartitionConsumer | undefined;
  #starting: Promise<void> | undefined;

  constructor(options: SinkRunnerOptions) {
    this.#options = options;
    this.#logger = options.logger.child({ sink: options.sink.name });
    const { retryInitialMs, retryMaxMs } = options.config;
    this.#backoff = { initialMs: retryInitialMs, maxMs: retryMaxMs };
    this.#metrics = options.metrics?.delivery.sink(options.sink.name, this.counts);
  }

  /** What it says of itself. */
  status(): SinkStatus {
    const { delivered, deadLettered, retries, sickSince } = this.counts;
    return {
      name: this.#options.sink.name,
      delivered,
      deadLettered,
      retries,
      inputs: [...this.#inputs.values()],
      ...(sickSince === 0 ? {} : { awaySince: sickSince }),
    };
  }

  /** The sink's consumer group. */
  get name(): string {
    return sinkGroup(this.#options.sink.name);
  }

  /**
   * Opens the sink and consumes; while its store is away, in the background, and everything else goes on.
   * @throws ReachflowError when the sink can never deliver.
   */
  async start(): Promise<void> {
    if (await this.#tryOpen(1)) return this.#consume();
    this.#starting = this.#startLater().catch((error: unknown) => {
      const { sink, onFatal } = this.#options;
      onFatal(
        error instanceof ReachflowError
          ? error
          : new ReachflowError(`sink ${sink.name} cannot start: ${errorMessage(error)}`, {
              code: 'SINK_FAILED',
              domain: 'internal',
              cause: error,
            }),
      );
    });
  }

  async #startLater(): Promise<void> {
    const { signal } = this.#stopped;
    for (let attempt = 2; !signal.aborted; attempt += 1) {
      await delay(backoffMs(attempt, this.#backoff), undefined, { signal }).catch(() => undefined);
      if (!signal.aborted && (await this.#tryOpen(attempt))) return this.#consume();
    }
  }

  /** False when the store is away. */
  async #tryOpen(attempt: number): Promise<boolean> {
    try {
      await this.#options.sink.open();
      this.counts.sickSince = 0;
      return true;
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry === 'none') throw error;
      if (this.counts.sickSince === 0) this.counts.sickSince = Date.now();
      this.#logger.warn({ attempt, error: errorMessage(error) }, 'store is not there yet');
      return false;
    }
  }

  async #consume(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const { sink, config, client, onFatal } = this.#options;
    this.#consumer = await startPartitionConsumer(client, {
      group: this.name,
      topics: sink.topics,
      handler: this,
      minBytes: config.minBytes,
      maxWaitMs: config.maxWaitMs,
      concurrency: config.concurrency,
      onFatal,
    });
  }

  async onAssigned(held: readonly TopicPartition[]): Promise<void> {
    const names = new Set(held.map(({ topic, partition }) => `${topic}/${partition}`));
    for (const name of this.#inputs.keys()) if (!names.has(name)) this.#inputs.delete(name);
  }

  #seen(topic: string, partition: number, nextOffset: bigint, end: bigint): void {
    this.#inputs.set(`${topic}/${partition}`, {
      topic,
      partition,
      position: Number(nextOffset),
      end: Number(end),
      lag: Math.max(0, Number(end - nextOffset)),
    });
  }

  async onBatch(batch: PartitionBatch, control: BatchControl): Promise<void> {
    const { sink } = this.#options;
    if (!isTopicName(batch.topic)) return;
    const pending = await this.#decode(batch.topic, batch, control);
    for (let from = 0; from < pending.length; from += sink.limits.records) {
      if (!(await this.#deliver(pending.slice(from, from + sink.limits.records), control))) return;
    }
    await control.commit(batch.nextOffset);
    this.#seen(batch.topic, batch.partition, batch.nextOffset, batch.highWatermark);
  }

  async onNothing(topic: string, partition: number, nextOffset: bigint): Promise<void> {
    await this.#consumer?.commit(topic, partition, nextOffset);
    this.#seen(topic, partition, nextOffset, nextOffset);
  }

  async #decode(
    topic: TopicName,
    batch: PartitionBatch,
    control: BatchControl,
  ): Promise<Pending[]> {
    const { codec } = this.#options;
    await this.#untilUp(control, () =>
      codec.load(
        topic,
        batch.records.map(({ value }) => value),
        batch.records.map(({ key }) => key),
      ),
    );
    const pending: Pending[] = [];
    for (const raw of batch.records) {
      try {
        const value = raw.value === null ? null : codec.decode(topic, raw.value);
        const key = codec.decodeKey(topic, raw.key);
        pending.push({
          raw,
          record: toSinkRecord(topic, batch.partition, raw, key, value as SinkRecord['value']),
        });
      } catch (error) {
        if (!(error instanceof ReachflowError) || error.retry === 'backoff') throw error;
        await this.#deadLetter(topic, batch.partition, raw, 'decode', error, 1, control);
      }
    }
    return pending;
  }

  /** Until each record is delivered or dead-lettered. False when the batch went stale before. */
  async #deliver(batch: Pending[], control: BatchControl): Promise<boolean> {
    let left = batch;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      if (control.stale()) return false;
      const { retry, error } = await this.#write(left, attempt, control);
      left = retry;
      if (error === undefined) {
        this.counts.sickSince = 0;
        continue;
      }
      if (this.counts.sickSince === 0) this.counts.sickSince = Date.now();
      this.counts.retries += 1;
      const waitMs = backoffMs(attempt, this.#backoff);
      this.#logger.warn(
        { records: retry.length, attempt, waitMs, code: error.code, error: error.message },
        'store could not take the batch, trying again',
      );
      await waitWithHeartbeat(waitMs, control.heartbeat, this.#stopped.signal);
    }
    return true;
  }

  async #write(batch: Pending[], attempt: number, control: BatchControl) {
    const { sink } = this.#options;
    const trace = this.#trace(batch);
    const began = performance.now();
    const [first] = batch;
    if (first === undefined) return { retry: [], error: undefined };
    const { topic, partition } = first.record;
    const records = batch.map(({ record }) => record);
    const results = await sink.write({ topic, partition, range: undefined, records });
    this.#metrics?.wrote(batch.length, performance.now() - began);
    if (results.length !== batch.length) {
      throw new Error(`sink ${sink.name} answered ${results.length} of ${batch.length} records`);
    }
    const retry: Pending[] = [];
    let error: ReachflowError | undefined;
    for (const [i, result] of results.entries()) {
      const pending = batch[i];
      if (pending === undefined) continue;
      if (result.status === 'delivered') {
        this.counts.delivered += 1;
      } else if (result.status === 'held') {
        retry.push(pending);
      } else if (result.status === 'retry') {
        retry.push(pending);
        error ??= result.error;
      } else {
        const { record, raw } = pending;
        const topic = record.topic as TopicName;
        await this.#deadLetter(
          topic,
          record.partition,
          raw,
          'write',
          result.error,
          attempt,
          control,
        );
      }
    }
    if (error === undefined) trace?.end({ 'reachflow.records': batch.length });
    else trace?.fail(error);
    await control.heartbeat();
    return { retry, error };
  }

  #trace(batch: readonly Pending[]): BatchWork | undefined {
    const { tracing, sink } = this.#options;
    if (tracing?.enabled !== true) return undefined;
    const trace = tracing.batch(`write ${sink.name}`);
    for (const { raw } of batch) trace.carry(raw.headers);
    return trace;
  }

  async #deadLetter(
    topic: TopicName,
    partition: number,
    record: KafkaRecord,
    step: string,
    error: ReachflowError,
    attempts: number,
    control: BatchControl,
  ): Promise<void> {
    const { sink, publisher } = this.#options;
    const letter = deadLetter({
      topic,
      partition,
      record,
      consumer: sink.name,
      step,
      error,
      attempts,
      firstFailure: Date.now(),
    });
    await this.#untilUp(control, () => publisher.publishRaw(letter));
    this.counts.deadLettered += 1;
    this.#options.metrics?.delivery.deadLetter(topic, sink.name, error.code);
  }

  /** Repeats what depends on brokers or registry until it works, or the batch goes stale. */
  async #untilUp<T>(control: BatchControl, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        const again = error instanceof ReachflowError && error.retry === 'backoff';
        if (!again || control.stale()) throw error;
        this.#logger.warn(
          { attempt, error: errorMessage(error) },
          'waiting for brokers or registry',
        );
        await waitWithHeartbeat(
          backoffMs(attempt, this.#backoff),
          control.heartbeat,
          this.#stopped.signal,
        );
      }
    }
  }

  /** Finishes the batches under way, commits, closes the sink. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#starting;
    await this.#consumer?.stop();
    this.#metrics?.close();
    await this.#options.sink.close();
  }
}

/** Without a version a deletion would lose against any row, and the row would stay. */
function versionMissing(topic: string, key: string): ReachflowError {
  return new ReachflowError(`the tombstone of ${key} in ${topic} has no header ${VERSION_HEADER}`, {
    code: 'VERSION_MISSING',
    domain: 'user',
    hint: 'Write tombstones with the version of the deletion, larger than that of the record deleted.',
  });
}

function toSinkRecord(
  topic: TopicName,
  partition: number,
  raw: KafkaRecord,
  key: string,
  value: SinkRecord['value'],
): SinkRecord {
  const { offset, timestamp } = raw;
  const inValue = value?.['version'];
  const header = raw.headers[VERSION_HEADER]?.toString('utf8');
  let version = 0n;
  if (typeof inValue === 'bigint') version = inValue;
  else if (header !== undefined && /^\d+$/.test(header)) version = BigInt(header);
  else if (value === null) throw versionMissing(topic, key);
  return { topic, partition, offset, timestamp, key, value, version };
}
