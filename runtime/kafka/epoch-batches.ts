import type { BufferPool } from './buffer-pool.ts';
import { RecordBatchBuilder, type RecordHeaders, type ValueEncoder } from './record-batch.ts';

/** Bytes that a batch holds at most, unless one record alone is larger; brokers allow 1 MB by default. */
const MAX_BATCH_BYTES = 700_000;

/** Batches of one partition, in order. */
export interface PartitionBatches {
  /** Logical topic name. */
  readonly topic: string;
  readonly partition: number;
  readonly builders: RecordBatchBuilder[];
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

  constructor(pool: BufferPool) {
    this.#pool = pool;
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
   * @throws RangeError when it is none.
   */
  append(
    topic: string,
    partition: number,
    key: Buffer | string | null,
    value: Buffer | null,
    timestamp: number,
    headers?: RecordHeaders,
  ): void {
    const batches = this.#batchesOf(topic, partition);
    let builder = batches.builders.at(-1) ?? this.#open(batches);
    if (builder.bytes + (value?.length ?? 0) + (key?.length ?? 0) > MAX_BATCH_BYTES)
      builder = this.#next(batches, builder);
    builder.append(key, value, timestamp, headers);
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
    if (builder.bytes > MAX_BATCH_BYTES && builder.count > 1) {
      builder.undo();
      builder = this.#next(batches, builder);
      builder.appendWith(key, timestamp, headers, encoder, value);
    }
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
    const batches: PartitionBatches = { topic, partition, builders: [] };
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
