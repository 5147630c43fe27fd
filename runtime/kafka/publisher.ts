import type { TopicName, TopicValue } from '../../schemas/topics.ts';

/** A record to publish to a topic of the map; the value is validated against the topic's schema. */
export interface Publication<T extends TopicName> {
  readonly key: string;
  readonly value: TopicValue<T>;
  readonly headers?: Readonly<Record<string, string | Buffer>>;
  /** Event time, ms since the epoch; the broker's clock when absent. */
  readonly timestamp?: number;
}

/** What connectors write with: an idempotent producer that groups concurrent calls into batches. */
export interface Publisher {
  /**
   * Resolves when every in-sync replica has the record (`acks=all`).
   * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff) when no broker took it in time,
   *   `PUBLISH_QUEUE_FULL` (retry: backoff) when too many records wait,
   *   `SCHEMA_MISMATCH` (retry: none) when the value does not fit the topic's schema.
   */
  publish<T extends TopicName>(topic: T, record: Publication<T>): Promise<void>;
}
