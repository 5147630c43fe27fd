import { ReachflowError } from '../runtime/errors.ts';
import type { KafkaClient } from '../runtime/kafka/client.ts';
import { followTopic, type TopicFollower } from '../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../runtime/kafka/record.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { Payloads } from '../schemas/payloads.ts';
import type { TopicName } from '../schemas/topics.ts';
import { cursorEncoder } from './cursor.ts';
import { decodeRecord, type SubscribedEvent, toEvent } from './event.ts';
import { readable } from './readable.ts';
import { RecentEvents } from './recent.ts';

/** Whose records somebody gets. */
export type Tenants = ReadonlySet<string> | '*';

/** Somebody who is at the end of a feed and gets each further event. Must not throw, nor wait. */
export interface Listener {
  readonly tenants: Tenants;
  onEvent(event: SubscribedEvent): void;
  /** The feed reads no more: there will be no further event. */
  onLost(error: ReachflowError): void;
}

export interface FeedDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
}

interface Waiting {
  readonly partition: number;
  readonly record: KafkaRecord;
}

/**
 * The one reader of a topic in this process: committed records of all partitions, decoded and encoded once, the newest kept
 * in memory, and handed to those whose tenant they are of. What it costs to hand on an event depends on how many get it,
 * not on how many there are.
 */
export class Feed {
  readonly topic: TopicName;
  readonly #deps: FeedDeps;
  readonly #encodeCursor: (positions: readonly number[]) => string;
  readonly #byTenant = new Map<string, Set<Listener>>();
  readonly #toAll = new Set<Listener>();
  #positions: number[] = [];
  #recent: RecentEvents;
  #waiting: Waiting[] = [];
  #follower: TopicFollower | undefined;
  #lost: ReachflowError | undefined;

  private constructor(topic: TopicName, deps: FeedDeps) {
    this.topic = topic;
    this.#deps = deps;
    this.#encodeCursor = cursorEncoder(topic);
    this.#recent = new RecentEvents(0, []);
  }

  /**
   * Begins to read, with the newest records first.
   * @throws ReachflowError `KAFKA_UNAVAILABLE`, also when the topic is not there.
   */
  static async open(
    topic: TopicName,
    deps: FeedDeps,
    options: { readonly recentBytes: number; readonly recentRecords: number },
  ): Promise<Feed> {
    const feed = new Feed(topic, deps);
    await feed.#follow(options);
    return feed;
  }

  async #follow(options: { recentBytes: number; recentRecords: number }): Promise<void> {
    const starts: number[] = [];
    const depth = BigInt(options.recentRecords);
    this.#follower = await followTopic(this.#deps.client, {
      topic: this.topic,
      start: (partition, { low, lastStable }) => {
        const start = lastStable - low > depth ? lastStable - depth : low;
        starts[partition] = Number(start);
        this.#positions = [...starts];
        this.#recent = new RecentEvents(options.recentBytes, starts);
        return start;
      },
      onRecord: (record, partition) => void this.#waiting.push({ record, partition }),
      onBatch: () => this.#onBatch(),
      // Behind markers, too: a cursor before them would look expired once retention has passed them.
      onPosition: (partition, nextOffset) => {
        this.#positions[partition] = Number(nextOffset);
      },
      onLost: (error) => this.#onLost(error),
    });
    try {
      await this.#follower.caughtUp;
    } catch (error) {
      await this.#follower.stop();
      throw error;
    }
  }

  get partitions(): number {
    return this.#positions.length;
  }

  get recent(): RecentEvents {
    return this.#recent;
  }

  /** Next offset of each partition, as far as this feed is. */
  get positions(): readonly number[] {
    return this.#positions;
  }

  get lost(): ReachflowError | undefined {
    return this.#lost;
  }

  get listeners(): number {
    let count = this.#toAll.size;
    for (const listeners of this.#byTenant.values()) count += listeners.size;
    return count;
  }

  /** The cursor of some positions in this topic. */
  cursorOf(positions: readonly number[]): string {
    return this.#encodeCursor(positions);
  }

  /** Gets each event from now on. */
  attach(listener: Listener): void {
    if (listener.tenants === '*') {
      this.#toAll.add(listener);
      return;
    }
    for (const tenant of listener.tenants) {
      const listeners = this.#byTenant.get(tenant);
      if (listeners === undefined) this.#byTenant.set(tenant, new Set([listener]));
      else listeners.add(listener);
    }
  }

  detach(listener: Listener): void {
    this.#toAll.delete(listener);
    if (listener.tenants === '*') return;
    for (const tenant of listener.tenants) {
      const listeners = this.#byTenant.get(tenant);
      listeners?.delete(listener);
      if (listeners?.size === 0) this.#byTenant.delete(tenant);
    }
  }

  async #onBatch(): Promise<void> {
    // Taken at once: batches of other leaders come while the registry is asked.
    const batch = this.#waiting;
    this.#waiting = [];
    const all = batch.map(({ record }) => record);
    let at = 0;
    for await (const { records, payloads } of readable(this.#deps.codec, this.topic, all)) {
      for (const record of records) {
        this.#add(record, batch[at]?.partition ?? 0, payloads);
        at += 1;
      }
    }
  }

  #add(record: KafkaRecord, partition: number, payloads: Payloads): void {
    const decoded = decodeRecord(this.#deps.codec, this.topic, partition, record, payloads);
    this.#positions[partition] = decoded.offset + 1;
    const event = toEvent(decoded, this.#encodeCursor(this.#positions));
    this.#recent.add(event);
    const { tenant } = event;
    for (const listener of this.#toAll) listener.onEvent(event);
    const own = tenant === undefined ? undefined : this.#byTenant.get(tenant);
    if (own !== undefined) for (const listener of own) listener.onEvent(event);
  }

  #onLost(error: ReachflowError): void {
    this.#lost = error;
    const all = new Set([
      ...this.#toAll,
      ...[...this.#byTenant.values()].flatMap((own) => [...own]),
    ]);
    for (const listener of all) listener.onLost(error);
  }

  async close(): Promise<void> {
    this.#onLost(
      new ReachflowError(`${this.topic} is not read any more`, {
        code: 'FEED_CLOSED',
        domain: 'internal',
        retry: 'backoff',
      }),
    );
    await this.#follower?.stop();
  }
}
