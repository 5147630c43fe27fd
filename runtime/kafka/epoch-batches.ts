import { ReachflowError } from '../errors.ts';
import type { BufferPool } from './buffer-pool.ts';
import {
  type GivenHeaders,
  RecordBatchBuilder,
  type RecordHeaders,
  type ValueEncoder,
} from './record-batch.ts';

/** Bytes that a batch holds at most, unless one record alone is larger; brokers allow 1 MB by default. */
const MAX_BATCH_BYTES = 700_000;

/** Batches of one partition, in order. */
export interface PartitionBatches {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
  readonly builders: RecordBatchBuilder[];
  /** Bytes of the largest batch that the topic takes, as far as is known. */
  readonly limit: number;
}

/**
 * The outputs of one epoch, encoded as they are appended, ready to be sent: by `EpochProducer.begin`. Topic names
 * are logical. Thrown away, or committed once.
 */
export class EpochBatches {
  readonly #pool: BufferPool;
  readonly #topics = new Map<string, PartitionBatches[]>();
  readonly #all: PartitionBatches[] = [];
  #count = 0;
  #fullBytes = 0;
  #lastTopic: string | undefined;
  #lastPartitions: PartitionBatches[] = [];
  readonly #limits: ReadonlyMap<string, number>;

  /** @param limits bytes of the largest batch that a topic takes; a topic without one takes any. */
  constructor(pool: BufferPool, limits: ReadonlyMap<string, number> = new Map()) {
    this.#pool = pool;
    this.#limits = limits;
  }

  /** Records so far. */
  get count(): number {
    return this.#count;
  }

  /** Bytes so far, before compression: what an epoch is bounded by. Costs a step per partition. */
  get bytes(): number {
    let bytes = this.#fullBytes;
    for (const { builders } of this.#all) bytes += builders.at(-1)?.bytes ?? 0;
    return bytes;
  }

  /**
   * Adds a record. @param timestamp ms since the epoch, an integer.
   * @throws RangeError when it is none; ReachflowError `RECORD_TOO_LARGE` when the topic does not take a record of this
   *   size: throw the epoch away then.
   */
  append(
    topic: string,
    partition: number,
    key: Buffer | string | null,
    value: Buffer | null,
    timestamp: number,
    headers?: GivenHeaders,
  ): void {
    const batches = this.#batchesOf(topic, partition);
    let builder = batches.builders.at(-1) ?? this.#open(batches);
    const most = Math.min(MAX_BATCH_BYTES, batches.limit);
    if (builder.bytes + (value?.length ?? 0) + (key?.length ?? 0) > most)
      builder = this.#next(batches, builder);
    builder.append(key, value, timestamp, headers);
    if (builder.bytes > most && builder.count > 1) {
      builder.undo();
      builder = this.#next(batches, builder);
      builder.append(key, value, timestamp, headers);
    }
    if (builder.bytes > batches.limit) throw recordTooLarge(topic, builder.bytes, batches.limit);
    this.#count += 1;
  }

  /** Adds a record whose value `encoder` writes in place. @throws as `append`, and what the encoder throws. */
  appendWith<V>(
    topic: string,
    partition: number,
    key: Buffer | string | null,
    timestamp: number,
    headers: RecordHeaders | undefined,
    encoder: ValueEncoder<V>,
    value: V,
  ): void {
    const batches = this.#batchesOf(topic, partition);
    let builder = batches.builders.at(-1) ?? this.#open(batches);
    builder.appendWith(key, timestamp, headers, encoder, value);
    if (builder.bytes > Math.min(MAX_BATCH_BYTES, batches.limit) && builder.count > 1) {
      builder.undo();
      builder = this.#next(batches, builder);
      builder.appendWith(key, timestamp, headers, encoder, value);
    }
    if (builder.bytes > batches.limit) throw recordTooLarge(topic, builder.bytes, batches.limit);
    this.#count += 1;
  }

  /** All partitions that have records, with their batches. */
  get partitions(): readonly PartitionBatches[] {
    return this.#all;
  }

  /** Empties it; buffers go to the next epochs. Not while a request may still be sent from them. */
  release(): void {
    for (const { builders } of this.#all) for (const builder of builders) builder.release();
    this.discard();
  }

  /** Empties it and leaves the buffers to the garbage collector: a request may still be sent from them. */
  discard(): void {
    this.#topics.clear();
    this.#all.length = 0;
    this.#count = 0;
    this.#fullBytes = 0;
    this.#lastTopic = undefined;
  }

  #batchesOf(topic: string, partition: number): PartitionBatches {
    const partitions = topic === this.#lastTopic ? this.#lastPartitions : this.#partitionsOf(topic);
    return partitions[partition] ?? this.#addPartition(partitions, topic, partition);
  }

  #partitionsOf(topic: string): PartitionBatches[] {
    let partitions = this.#topics.get(topic);
    if (partitions === undefined) {
      partitions = [];
      this.#topics.set(topic, partitions);
    }
    this.#lastTopic = topic;
    this.#lastPartitions = partitions;
    return partitions;
  }

  #addPartition(into: PartitionBatches[], topic: string, partition: number): PartitionBatches {
    const limit = this.#limits.get(topic) ?? Number.POSITIVE_INFINITY;
    const batches: PartitionBatches = { topic, partition, builders: [], limit };
    into[partition] = batches;
    this.#all.push(batches);
    return batches;
  }

  #next(batches: PartitionBatches, full: RecordBatchBuilder): RecordBatchBuilder {
    if (full.count === 0) return full;
    this.#fullBytes += full.bytes;
    return this.#open(batches, MAX_BATCH_BYTES);
  }

  #open(batches: PartitionBatches, initialBytes = 0): RecordBatchBuilder {
    const builder = new RecordBatchBuilder(this.#pool, initialBytes);
    batches.builders.push(builder);
    return builder;
  }
}

/** A record, with what is around it, is over its topic's limit. */
export function recordTooLarge(topic: string, bytes: number, limit: number): ReachflowError {
  return new ReachflowError(`${topic} does not take a record of ${bytes} bytes, at most ${limit}`, {
    code: 'RECORD_TOO_LARGE',
    domain: 'user',
    hint: 'Raise max.message.bytes of the topic and start again, or make the step write less.',
  });
}
