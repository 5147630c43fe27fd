import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import type { Publication } from '../../runtime/kafka/publisher.ts';
import { topicLimits } from '../../runtime/kafka/topic-limits.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { POLL_POSITIONS_TOPIC } from '../../schemas/topics.ts';
import { encodePosition, type Position, readPosition } from './position.ts';

/** Topic of the records. */
export const POLLED_TOPIC = 'webhook.received';

/**
 * Writes records of one source together with its position: both are there, or neither. There is one writer of a source: to
 * open one fences the one before.
 */
export class SourceWriter {
  readonly #producer: EpochProducer;
  readonly #codec: TopicCodec;
  readonly #name: string;
  readonly #partition: number;
  /** Where the source is, as committed; undefined before its first page. */
  readonly position: Position | undefined;

  private constructor(
    producer: EpochProducer,
    codec: TopicCodec,
    name: string,
    partition: number,
    position: Position | undefined,
  ) {
    this.#producer = producer;
    this.#codec = codec;
    this.#name = name;
    this.#partition = partition;
    this.position = position;
  }

  /** @throws ReachflowError `KAFKA_UNAVAILABLE`, `REGISTRY_UNAVAILABLE`, `READ_STALLED` (retry: backoff). */
  static async open(
    { client, codec }: { readonly client: KafkaClient; readonly codec: TopicCodec },
    name: string,
    partition: number,
    signal: AbortSignal,
  ): Promise<SourceWriter> {
    await codec.register([POLLED_TOPIC]);
    const limits = await topicLimits(client, [POLLED_TOPIC]);
    const producer = await EpochProducer.open(client, `http-poll.${name}`, { limits });
    try {
      await producer.prepare([POLLED_TOPIC]);
      // Only now: what the owner before had under way is decided.
      const position = await readPosition(client, partition, name, signal);
      return new SourceWriter(producer, codec, name, partition, position);
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  /** @throws ReachflowError as `EpochProducer.commit`: close it then, open another one and go on from its position. */
  async write(
    records: readonly Publication<typeof POLLED_TOPIC>[],
    position: Position,
    now: number,
  ): Promise<void> {
    const batches = this.#producer.begin();
    for (const { key, value } of records) {
      const partition = this.#producer.partitionFor(POLLED_TOPIC, key);
      const bytes = this.#codec.encode(POLLED_TOPIC, value);
      batches.append(POLLED_TOPIC, partition, key, bytes, now);
    }
    const bytes = encodePosition(position);
    batches.append(POLL_POSITIONS_TOPIC, this.#partition, this.#name, bytes, now);
    await this.#producer.commit(batches, []);
  }

  close(): Promise<void> {
    return this.#producer.close();
  }
}
