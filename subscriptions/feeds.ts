import type { Logger } from 'pino';
import { errorMessage } from '../runtime/errors.ts';
import { manyPartitionOffsets } from '../runtime/kafka/partition-offsets.ts';
import type { TopicName } from '../schemas/topics.ts';
import type { SubscriptionsConfig } from './config.ts';
import { decodeCursor } from './cursor.ts';
import { Feed, type FeedDeps } from './feed.ts';
import { cursorExpired, cursorInvalid } from './problems.ts';

/** Where a subscriber wants to begin. */
export type Start = 'earliest' | 'latest' | { readonly cursor: string };

interface Entry {
  readonly opening: Promise<Feed>;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

/** The feeds that have subscribers, and those that had some a moment ago. */
export class Feeds {
  readonly #config: SubscriptionsConfig;
  readonly #deps: FeedDeps & { readonly logger: Logger };
  readonly #entries = new Map<TopicName, Entry>();

  constructor(config: SubscriptionsConfig, deps: FeedDeps & { readonly logger: Logger }) {
    this.#config = config;
    this.#deps = deps;
  }

  get open(): number {
    return this.#entries.size;
  }

  /**
   * The feed of a topic, read for as long as somebody uses it.
   * @returns the feed, and what to call once when it is needed no longer.
   * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff).
   */
  async use(topic: TopicName): Promise<{ readonly feed: Feed; release(): void }> {
    const entry = this.#entries.get(topic) ?? this.#begin(topic);
    clearTimeout(entry.idle);
    entry.users += 1;
    try {
      const feed = await entry.opening;
      if (feed.lost !== undefined) throw feed.lost;
      return { feed, release: () => this.#release(topic, entry) };
    } catch (error) {
      // The next one opens it anew.
      if (this.#entries.get(topic) === entry) this.#entries.delete(topic);
      this.#release(topic, entry);
      throw error;
    }
  }

  #begin(topic: TopicName): Entry {
    const opening = Feed.open(topic, this.#deps, this.#config);
    opening.catch(() => undefined);
    const entry: Entry = { opening, users: 0, idle: undefined };
    this.#entries.set(topic, entry);
    return entry;
  }

  #release(topic: TopicName, entry: Entry): void {
    entry.users -= 1;
    if (entry.users > 0) return;
    const isCurrent = this.#entries.get(topic) === entry;
    const end = () => {
      if (this.#entries.get(topic) === entry) this.#entries.delete(topic);
      void this.#end(topic, entry);
    };
    if (isCurrent) entry.idle = setTimeout(end, this.#config.idleTopicMs);
    else end();
  }

  async #end(topic: TopicName, { opening, idle }: Entry): Promise<void> {
    clearTimeout(idle);
    const feed = await opening.catch(() => undefined);
    await feed?.close().catch((error: unknown) => {
      this.#deps.logger.debug({ topic, error: errorMessage(error) }, 'feed not closed in order');
    });
  }

  /**
   * The positions to begin at; undefined is the feed's end.
   * @throws ProblemError `CURSOR_INVALID`, `CURSOR_EXPIRED`; ReachflowError `KAFKA_UNAVAILABLE`.
   */
  async positions(feed: Feed, start: Start): Promise<readonly number[] | undefined> {
    if (start === 'latest') return undefined;
    if (start === 'earliest') return (await this.#offsets(feed)).map(({ low }) => Number(low));
    const positions = decodeCursor(feed.topic, start.cursor, feed.partitions);
    if (positions === undefined) throw cursorInvalid();
    const recentStart = feed.recent.start;
    const isRecent = positions.every(
      (position, p) => position >= (recentStart[p] ?? 0) && position <= (feed.positions[p] ?? 0),
    );
    if (isRecent) return positions;
    for (const [p, { low, high }] of (await this.#offsets(feed)).entries()) {
      const position = positions[p] ?? 0;
      if (position > high) throw cursorInvalid();
      // Nothing was ever sent of a partition at 0: what retention took before is no gap of this subscriber.
      if (position < low && position > 0) throw cursorExpired();
      positions[p] = Math.max(position, Number(low));
    }
    return positions;
  }

  #offsets(feed: Feed) {
    const { topic } = feed;
    const partitions = Array.from({ length: feed.partitions }, (_, p) => ({ topic, partition: p }));
    return manyPartitionOffsets(this.#deps.client, partitions);
  }

  async close(): Promise<void> {
    const entries = [...this.#entries];
    this.#entries.clear();
    await Promise.all(entries.map(([topic, entry]) => this.#end(topic, entry)));
  }
}
