import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { TopicName, TopicValue } from '../../schemas/topics.ts';
import type { ReachflowError } from '../errors.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { followTopic, type TopicFollower } from '../kafka/reader.ts';
import type { KafkaRecord } from '../kafka/record.ts';

/** How a topic's records become rows of a table. */
export interface TableSpec<T extends TopicName, R> {
  readonly topic: T;
  /** The row that a record sets, `row: undefined` where it deletes; undefined when it says nothing. */
  toRow(value: TopicValue<T>): { readonly key: string; readonly row: R | undefined } | undefined;
}

/** Read side of a table that every task sees whole. */
export interface BroadcastTable<R> {
  get(key: string): R | undefined;
}

/**
 * A topic held whole in memory by each process (a global table in Kafka Streams' terms). `started` resolves
 * once everything that the topic held has been read; changes are announced after that.
 */
export class FollowedTable<T extends TopicName, R> implements BroadcastTable<R> {
  readonly #spec: TableSpec<T, R>;
  readonly #client: KafkaClient;
  readonly #codec: TopicCodec;
  readonly #logger: Logger;
  readonly #rows = new Map<string, R>();
  readonly #listeners = new Set<(key: string) => void>();
  #follower: TopicFollower | undefined;
  #pending: { readonly record: KafkaRecord; readonly partition: number }[] = [];

  readonly #onLost: (error: ReachflowError) => void;

  /** @param onLost called when the topic cannot be followed any more: the table would stay as it is. */
  constructor(
    client: KafkaClient,
    codec: TopicCodec,
    logger: Logger,
    spec: TableSpec<T, R>,
    onLost: (error: ReachflowError) => void,
  ) {
    this.#onLost = onLost;
    this.#spec = spec;
    this.#client = client;
    this.#codec = codec;
    this.#logger = logger.child({ table: spec.topic });
  }

  get(key: string): R | undefined {
    return this.#rows.get(key);
  }

  /** Calls `listener` with each key that changed. Returns how to stop listening. */
  onChange(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async start(): Promise<void> {
    this.#follower = await followTopic(this.#client, {
      topic: this.#spec.topic,
      onRecord: (record, partition) => void this.#pending.push({ record, partition }),
      onBatch: () => this.#apply(),
      onLost: this.#onLost,
    });
    await this.#follower.caughtUp;
  }

  async stop(): Promise<void> {
    await this.#follower?.stop();
  }

  async #apply(): Promise<void> {
    const { topic } = this.#spec;
    const batch = this.#pending;
    this.#pending = [];
    await this.#codec.load(
      topic,
      batch.map(({ record }) => record.value),
    );
    const changed = new Set<string>();
    for (const { record, partition } of batch) {
      if (record.value === null) continue;
      try {
        const entry = this.#spec.toRow(this.#codec.decode(topic, record.value));
        if (entry === undefined) continue;
        if (entry.row === undefined) this.#rows.delete(entry.key);
        else this.#rows.set(entry.key, entry.row);
        changed.add(entry.key);
      } catch (error) {
        // A table has no consumer group of its own to dead-letter for: the row stays as it was.
        this.#logger.error(
          { error, partition, offset: String(record.offset) },
          'table record passed over',
        );
      }
    }
    for (const key of changed) for (const listener of this.#listeners) listener(key);
  }
}
