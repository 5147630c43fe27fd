import type { KafkaClient } from './client.ts';
import type { EpochBatches } from './epoch-batches.ts';
import { EpochProducer, type EpochProducerOptions } from './epoch-producer.ts';
import { GroupOffsets } from './group-offsets.ts';

/** How far something outside Kafka has been written to topics: it is committed with the records themselves. */
export interface Position {
  /** Next of the outside to write: a row, a byte, an entry; at least 0. */
  readonly next: bigint;
  /** What else is needed to go on from there, at most 4,096 bytes. */
  readonly metadata: string;
}

export interface PositionedProducerOptions extends EpochProducerOptions {
  /** Logical name: the transactional id, and the consumer group that keeps the position. */
  readonly name: string;
  /** An existing topic; the position is kept as an offset of its partition 0. */
  readonly topic: string;
}

/**
 * Writes what lies outside Kafka, in order, exactly once: each transaction has records and how far they come. Opening
 * one fences whoever wrote under the same name and ends its transaction, and only then reads the position (KIP-98: the
 * coordinator answers InitProducerId once the earlier transaction's markers are written), so nothing is
 * written twice, whenever a process was killed. The brokers forget the position of a name that
 * is not used for `offsets.retention.minutes` (7 days by default).
 */
export class PositionedProducer {
  /** As it was when this was opened; undefined where nothing was written yet. */
  readonly start: Position | undefined;
  readonly #producer: EpochProducer;
  readonly #name: string;
  readonly #topic: string;

  private constructor(
    producer: EpochProducer,
    { name, topic }: PositionedProducerOptions,
    start: Position | undefined,
  ) {
    this.#producer = producer;
    this.#name = name;
    this.#topic = topic;
    this.start = start;
  }

  /** @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff), also when the topic does not exist. */
  static async open(
    client: KafkaClient,
    options: PositionedProducerOptions,
  ): Promise<PositionedProducer> {
    const { name, topic } = options;
    const producer = await EpochProducer.open(client, name, options);
    const offsets = new GroupOffsets(client, name);
    try {
      const [committed] = await offsets.read([{ topic, partition: 0 }]);
      const { offset, metadata = '' } = committed ?? {};
      const start = offset === undefined ? undefined : { next: offset, metadata };
      return new PositionedProducer(producer, options, start);
    } catch (error) {
      await producer.close();
      throw error;
    } finally {
      offsets.close();
    }
  }

  /** As `EpochProducer.prepare`. */
  prepare(topics: readonly string[]): Promise<void> {
    return this.#producer.prepare(topics);
  }

  /** As `EpochProducer.partitionFor`. */
  partitionFor(topic: string, key: Buffer | string | null): number {
    return this.#producer.partitionFor(topic, key);
  }

  /** A new, empty set of records to fill; the next may be filled while this one is committed. */
  begin(): EpochBatches {
    return this.#producer.begin();
  }

  /** Commits records and what comes next in one transaction; one at a time. @throws as `EpochProducer.commit`. */
  async commit(batches: EpochBatches, { next, metadata }: Position): Promise<void> {
    await this.#producer.commit(batches, [
      { group: this.#name, topic: this.#topic, partition: 0, nextOffset: next, metadata },
    ]);
  }

  /** Aborts what is open and lets go of the connections. Idempotent. */
  close(): Promise<void> {
    return this.#producer.close();
  }
}
