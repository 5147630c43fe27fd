import type { ClaimWriter } from '../../runtime/claims/claim-writer.ts';
import { checkIn } from '../../runtime/claims/publisher.ts';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import type { Publication } from '../../runtime/kafka/publisher.ts';
import { topicLimits } from '../../runtime/kafka/topic-settings.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { POLL_POSITIONS_TOPIC } from '../../schemas/topics.ts';
import { encodePosition, type Position, readPosition } from './position.ts';

/** Topic of the records. */
export const POLLED_TOPIC = 'webhook.received';

/** What records are written with. */
export interface WriterDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  /** Stores large payloads; they stay in the topic without it. */
  readonly claims?: ClaimWriter | undefined;
}

/**
 * Writes records of one source together with its position: both are there, or neither. There is one writer of a source: to
 * open one fences the one before.
 */
export class SourceWriter {
  readonly #producer: EpochProducer;
  readonly #deps: WriterDeps;
  readonly #name: string;
  readonly #partition: number;
  /** Where the source is, as committed; undefined before its first page. */
  readonly position: Position | undefined;

  private constructor(
    producer: EpochProducer,
    deps: WriterDeps,
    name: string,
    partition: number,
    position: Position | undefined,
  ) {
    this.#producer = producer;
    this.#deps = deps;
    this.#name = name;
    this.#partition = partition;
    this.position = position;
  }

  /** @throws ReachflowError `KAFKA_UNAVAILABLE`, `REGISTRY_UNAVAILABLE`, `READ_STALLED` (retry: backoff). */
  static async open(
    deps: WriterDeps,
    name: string,
    partition: number,
    signal: AbortSignal,
  ): Promise<SourceWriter> {
    const { client, codec } = deps;
    await codec.register([POLLED_TOPIC]);
    const limits = await topicLimits(client, [POLLED_TOPIC]);
    const producer = await EpochProducer.open(client, `http-poll.${name}`, { limits });
    try {
      await producer.prepare([POLLED_TOPIC]);
      // Only now: what the owner before had under way is decided.
      const position = await readPosition(client, partition, name, signal);
      return new SourceWriter(producer, deps, name, partition, position);
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
    const { codec, claims } = this.#deps;
    // Before the transaction begins: it is not to wait for a storage.
    const values = await Promise.all(
      records.map(({ value }) =>
        claims === undefined ? value : checkIn(claims, POLLED_TOPIC, value),
      ),
    );
    const batches = this.#producer.begin();
    for (const [i, { key, value }] of records.entries()) {
      const partition = this.#producer.partitionFor(POLLED_TOPIC, key);
      const bytes = codec.encode(POLLED_TOPIC, values[i] ?? value);
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
