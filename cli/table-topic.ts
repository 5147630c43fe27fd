import { errorMessage } from '../runtime/errors.ts';
import { createPublisher, type OwnedPublisher } from '../runtime/kafka/batching-publisher.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { readTopic } from '../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../runtime/kafka/record.ts';
import { createLogger } from '../runtime/observability/logger.ts';
import { applyTopicPlan, planTopics } from '../runtime/topic-plan.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { TopicName, TopicValue } from '../schemas/topics.ts';
import { loadAppConfig } from './config.ts';
import { kafkaOf } from './product.ts';

/** What a record of the topic says; null deletes its key. */
export type TableRecord<T extends TopicName> =
  | { readonly key: string; readonly value: TopicValue<T> | null }
  | { readonly key: string; readonly unreadable: string };

/** A small compacted topic that commands read whole, and write single rows of. */
export class TableTopic<T extends TopicName> {
  readonly #topic: T;
  readonly #client: KafkaClient;
  readonly #codec: TopicCodec;
  #publisher: OwnedPublisher | undefined;

  private constructor(topic: T, client: KafkaClient, codec: TopicCodec) {
    this.#topic = topic;
    this.#client = client;
    this.#codec = codec;
  }

  /**
   * Makes the topic where there is none yet. @param file the configuration, where one is named.
   * @throws ConfigError, and ReachflowError `KAFKA_UNAVAILABLE`, `REGISTRY_UNAVAILABLE`.
   */
  static async open<T extends TopicName>(
    topic: T,
    file: string | undefined,
  ): Promise<TableTopic<T>> {
    const { config } = await loadAppConfig(file === undefined ? {} : { file });
    const logger = createLogger({ ...config.log, level: 'error' });
    const { client, codec } = kafkaOf(config, logger);
    const user = { name: 'cli', topics: [topic] };
    const plans = planTopics([], [user], client.config.partitions);
    const plan = plans.filter(({ name }) => name === topic);
    await applyTopicPlan(client, [], plan);
    await codec.register([topic]);
    return new TableTopic(topic, client, codec);
  }

  /** What the topic holds, each key in order. @throws ReachflowError as `readTopic`. */
  async records(): Promise<TableRecord<T>[]> {
    const raw: KafkaRecord[] = [];
    await readTopic(this.#client, {
      topic: this.#topic,
      onRecord: (record) => void raw.push(record),
    });
    await this.#codec.load(
      this.#topic,
      raw.map(({ value }) => value),
    );
    return raw.map((record) => this.#read(record));
  }

  #read({ key: bytes, value }: KafkaRecord): TableRecord<T> {
    const key = bytes?.toString('utf8') ?? '';
    try {
      return { key, value: value === null ? null : this.#codec.decode(this.#topic, value) };
    } catch (error) {
      return { key, unreadable: errorMessage(error) };
    }
  }

  /** @throws ReachflowError as `Publisher.publish`. */
  async put(key: string, value: TopicValue<T>): Promise<void> {
    await (await this.#open()).publish(this.#topic, { key, value });
  }

  /** Writes a tombstone. @throws ReachflowError as `Publisher.publish`. */
  async delete(key: string): Promise<void> {
    const publisher = await this.#open();
    await publisher.publishRaw({ topic: this.#topic, key, value: null });
  }

  async #open(): Promise<OwnedPublisher> {
    this.#publisher ??= await createPublisher(this.#client, this.#codec);
    return this.#publisher;
  }

  async close(): Promise<void> {
    await this.#publisher?.close();
  }
}
