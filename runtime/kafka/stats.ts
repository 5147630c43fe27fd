import type kafkajs from 'kafkajs';
import { type KafkaClient, kafkaUnavailable } from './client.ts';

/** A consumer group and the topics it reads, by logical names. */
export interface WatchedGroup {
  readonly group: string;
  readonly topics: readonly string[];
}

/** How much topics hold and groups have still to read. Names are logical: without the namespace. */
export class KafkaStats {
  readonly #client: KafkaClient;
  readonly #groups: readonly WatchedGroup[];
  #admin: kafkajs.Admin | undefined;

  constructor(client: KafkaClient, groups: readonly WatchedGroup[]) {
    this.#client = client;
    this.#groups = groups;
  }

  /** Records of each topic by its offsets: markers of transactions count, compacted records too. */
  async topicCounts(): Promise<Map<string, number>> {
    const ends = await this.#offsets(await this.#topics());
    return new Map(
      [...ends].map(([topic, offsets]) => [
        topic,
        offsets.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0),
      ]),
    );
  }

  /** Offsets that each group has still to read, over its topics; 0 is all read. */
  async lag(): Promise<Map<string, number>> {
    const ends = await this.#offsets([...new Set(this.#groups.flatMap(({ topics }) => topics))]);
    const lags = await Promise.all(
      this.#groups.map(async ({ group, topics }) => {
        const committed = await this.#ask((admin) =>
          admin.fetchOffsets({
            groupId: this.#client.physical(group),
            topics: topics.map(this.#client.physical),
          }),
        );
        let lag = 0;
        for (const { topic, partitions } of committed) {
          const next = new Map(
            partitions.map(({ partition, offset }) => [partition, Number(offset)]),
          );
          for (const { partition, low, high } of ends.get(this.#client.logical(topic) ?? '') ??
            []) {
            const from = next.get(partition) ?? -1;
            lag += Math.max(0, Number(high) - (from < 0 ? Number(low) : from));
          }
        }
        return [group, lag] as const;
      }),
    );
    return new Map(lags);
  }

  /** Records in all DLQ topics. */
  async dlqCount(): Promise<number> {
    const topics = (await this.#topics()).filter((name) => name.endsWith('.dlq'));
    let count = 0;
    for (const offsets of (await this.#offsets(topics)).values()) {
      for (const { low, high } of offsets) count += Number(high) - Number(low);
    }
    return count;
  }

  async close(): Promise<void> {
    await this.#admin?.disconnect().catch(() => undefined);
    this.#admin = undefined;
  }

  async #topics(): Promise<string[]> {
    const names = await this.#ask((admin) => admin.listTopics());
    return names.flatMap((name) => {
      const logical = this.#client.logical(name);
      return logical === undefined || name.startsWith('_') ? [] : [logical];
    });
  }

  async #offsets(topics: readonly string[]): Promise<Map<string, readonly OffsetRow[]>> {
    const rows = await Promise.all(
      topics.map((topic) =>
        this.#ask((admin) => admin.fetchTopicOffsets(this.#client.physical(topic))),
      ),
    );
    return new Map(topics.map((topic, i) => [topic, rows[i] ?? []]));
  }

  /** One connection, made when first needed and anew after a failure. */
  async #ask<T>(question: (admin: kafkajs.Admin) => Promise<T>): Promise<T> {
    try {
      if (this.#admin === undefined) {
        const admin = this.#client.kafka.admin({ retry: { initialRetryTime: 50, retries: 5 } });
        await admin.connect();
        this.#admin = admin;
      }
      return await question(this.#admin);
    } catch (error) {
      await this.close();
      throw kafkaUnavailable('the brokers do not tell offsets', error);
    }
  }
}

interface OffsetRow {
  readonly partition: number;
  readonly low: string;
  readonly high: string;
}
