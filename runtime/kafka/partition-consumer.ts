import { setTimeout as delay } from 'node:timers/promises';
import type kafkajs from 'kafkajs';
import { awaitWithHeartbeat, backoffMs } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaClient } from './client.ts';
import { createGroupAssigner, type GroupMember } from './group-assigner.ts';
import { isGroupChange } from './protocol-errors.ts';
import type { KafkaRecord, PartitionBatch, TopicPartition } from './record.ts';

export type { TopicPartition };

/** The member lost its place in the group while it worked on a batch. Let it pass: the client joins again. */
export class GroupChanged extends Error {
  constructor(cause: unknown) {
    super('the consumer group is rebalancing', { cause });
    this.name = 'GroupChanged';
  }
}

export interface BatchControl {
  /** Keeps the member in its group while a batch takes long. @throws GroupChanged when the group is rebalancing. */
  heartbeat(): Promise<void>;
  /** True once this batch must not be worked on any more: shutdown, or the partition went elsewhere. */
  stale(): boolean;
  /**
   * True once the group is rebalancing: end the epoch under way, commit it and return. The member joins again when
   * all batches have returned; the rest of this batch comes again to whoever gets the partition.
   */
  rebalancing(): boolean;
  /** Stops fetching this partition until `resume`. */
  pause(): void;
  /** Commits the position after the batch to the group (consumers that do not commit in transactions). */
  commit(nextOffset: bigint): Promise<void>;
}

export interface PartitionHandler {
  /** After every rebalance, with all partitions held; batches wait for it. */
  onAssigned(partitions: readonly TopicPartition[]): Promise<void>;
  /** One batch of one partition; never two at once for the same partition within a generation. */
  onBatch(batch: PartitionBatch, control: BatchControl): Promise<void>;
  /**
   * Everything up to `nextOffset` was read and holds no record: markers and aborted transactions. Commit it,
   * or the group seems to lag behind for ever. @param fetchedFrom where that fetch began.
   */
  onNothing(
    topic: string,
    partition: number,
    nextOffset: bigint,
    fetchedFrom: bigint,
  ): Promise<void>;
  /**
   * The member is about to join its group again, and may lose any partition: no batch is under way, none comes before
   * `onAssigned`. End and commit what goes on besides batches. It is waited for, for half of the session timeout.
   */
  onRebalance?(): Promise<void>;
}

export interface PartitionConsumerOptions {
  /** Logical group name. */
  readonly group: string;
  /** Logical topic names. */
  readonly topics: readonly string[];
  readonly handler: PartitionHandler;
  /** The broker answers a fetch once it has this many bytes… */
  readonly minBytes: number;
  /** …or this much time has passed, ms. */
  readonly maxWaitMs: number;
  /** Partitions worked on at the same time. */
  readonly concurrency: number;
  /**
   * `round-robin` (default without `warm`) spreads all partitions of all topics; `co-partitioned` gives partition p of every topic
   * to the same member, and leaves partitions where they are as far as balance allows (`assignor.ts`).
   */
  readonly assignment?: 'round-robin' | 'co-partitioned';
  /** Partition numbers whose state is on this machine: preferred where nobody holds them. Implies `co-partitioned`. */
  readonly warm?: () => readonly number[];
  /** Called once when the consumer gave up for good. */
  readonly onFatal: (error: ReachflowError) => void;
}

/** Where a member stands in its group. */
export interface MemberStatus {
  /** Undefined before the member has joined. */
  readonly memberId: string | undefined;
  /** Of the group when this member joined it last; -1 before, and always with `round-robin`. */
  readonly generation: number;
  readonly assigned: readonly TopicPartition[];
  readonly rebalancing: boolean;
}

export interface PartitionConsumer {
  /** Commits a position to the group. */
  commit(topic: string, partition: number, nextOffset: bigint): Promise<void>;
  /** Stops fetching a partition; what is fetched already may still come. Stays across rebalances. */
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** Reading goes on at `offset`; batches fetched before are dropped. Ignored for a partition that is not held. */
  seek(topic: string, partition: number, offset: bigint): void;
  describe(): MemberStatus;
  /** Finishes the batches under way, leaves the group. Idempotent. */
  stop(): Promise<void>;
}

type EndOfBatch = Pick<
  kafkajs.ConsumerEndBatchProcessEvent['payload'],
  'topic' | 'partition' | 'firstOffset' | 'lastOffset'
>;

const MAX_RESTARTS = 30;

/**
 * Consumes topics batch by batch and partition by partition as a member of a group, from the earliest offset
 * where nothing is committed, reading only committed transactions. A crash of the client (broker gone for
 * long) makes a new one, with back-off, at most 30 times in a row.
 */
export async function startPartitionConsumer(
  client: KafkaClient,
  options: PartitionConsumerOptions,
): Promise<PartitionConsumer> {
  const session = new ConsumerSession(client, options);
  await session.start();
  return session;
}

class ConsumerSession implements PartitionConsumer {
  readonly #client: KafkaClient;
  readonly #options: PartitionConsumerOptions;
  #consumer: kafkajs.Consumer | undefined;
  #assigned: Promise<void> = Promise.resolve();
  #stopping = false;
  #restarts = 0;
  /** Partitions of the present assignment, as `<topic>/<partition>`. */
  #held: ReadonlySet<string> = new Set();
  #holding: readonly TopicPartition[] = [];
  #memberId: string | undefined;
  #generation = -1;
  #rebalancing = false;
  /** As `<topic>/<partition>`: a consumer that is made anew has to be told again. */
  readonly #paused = new Map<string, TopicPartition>();

  constructor(client: KafkaClient, options: PartitionConsumerOptions) {
    this.#client = client;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { group, topics, minBytes, maxWaitMs, concurrency, warm } = this.#options;
    const { assignment = warm === undefined ? 'round-robin' : 'co-partitioned' } = this.#options;
    const { kafka, config, physical } = this.#client;
    const consumer = kafka.consumer({
      groupId: physical(group),
      sessionTimeout: config.sessionTimeoutMs,
      rebalanceTimeout: config.sessionTimeoutMs,
      heartbeatInterval: 2_000,
      minBytes,
      maxWaitTimeInMs: maxWaitMs,
      maxBytesPerPartition: 1_048_576,
      readUncommitted: false,
      ...(assignment === 'co-partitioned'
        ? { partitionAssigners: [createGroupAssigner(this.#member())] }
        : {}),
      retry: {
        initialRetryTime: 50,
        maxRetryTime: 1_000,
        retries: 8,
        restartOnFailure: async () => false,
      },
    });
    this.#consumer = consumer;
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      this.#memberId = payload.memberId;
      this.#onJoin(payload.memberAssignment as Record<string, number[]>);
    });
    consumer.on(consumer.events.HEARTBEAT, () => {
      this.#rebalancing = false;
    });
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
      if (payload.batchSize === 0) this.#onNothing(payload);
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      void this.#onCrash(consumer, payload.error);
    });
    await consumer.connect();
    await consumer.subscribe({ topics: topics.map(physical), fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: concurrency,
      eachBatch: (payload) => this.#eachBatch(payload),
    });
    for (const { topic, partition } of this.#paused.values()) this.pause(topic, partition);
  }

  #member(): GroupMember {
    return {
      claims: () => ({
        owned: [...new Set(this.#holding.map(({ partition }) => partition))],
        generation: this.#generation,
        warm: this.#options.warm?.() ?? [],
      }),
      beforeJoin: () => this.#drain(),
      joined: (generation) => {
        this.#generation = generation;
      },
    };
  }

  /** Bounded: who does not join in time is thrown out of the group, and fenced by the next owner. */
  async #drain(): Promise<void> {
    const { handler, group } = this.#options;
    if (handler.onRebalance === undefined || this.#holding.length === 0) return;
    this.#rebalancing = true;
    const timer = new AbortController();
    const timeout = delay(this.#client.config.sessionTimeoutMs / 2, undefined, {
      signal: timer.signal,
    }).catch(() => undefined);
    const drained = handler.onRebalance().catch((error: unknown) => {
      this.#client.logger.warn({ group, error: errorMessage(error) }, 'not drained in good order');
    });
    await Promise.race([drained, timeout]);
    timer.abort();
  }

  #onJoin(assignment: Record<string, number[]>): void {
    const held: TopicPartition[] = [];
    for (const [name, partitions] of Object.entries(assignment)) {
      const topic = this.#client.logical(name);
      if (topic !== undefined) held.push(...partitions.map((partition) => ({ topic, partition })));
    }
    this.#held = new Set(held.map(({ topic, partition }) => `${topic}/${partition}`));
    this.#holding = held;
    this.#rebalancing = false;
    this.#unpauseLost(held);
    // One assignment after the other: a rebalance may come while the last is still being taken up.
    const before = this.#assigned;
    this.#assigned = before
      .catch(() => undefined)
      .then(() => this.#options.handler.onAssigned(held));
    this.#assigned.catch((error: unknown) => this.#fatal('taking up partitions failed', error));
  }

  #onNothing({ topic: name, partition, firstOffset, lastOffset }: EndOfBatch): void {
    const topic = this.#client.logical(name);
    if (topic === undefined || this.#stopping) return;
    this.#assigned
      .then(() => {
        const next = BigInt(lastOffset) + 1n;
        return this.#options.handler.onNothing(topic, partition, next, BigInt(firstOffset));
      })
      .catch((error: unknown) => {
        this.#client.logger.debug(
          { topic, partition, error: errorMessage(error) },
          'position not committed',
        );
      });
  }

  async #eachBatch(payload: kafkajs.EachBatchPayload): Promise<void> {
    try {
      await this.#onBatch(payload);
    } catch (error) {
      // KafkaJS knows a rebalance by its own error.
      throw error instanceof GroupChanged ? error.cause : error;
    }
  }

  async #onBatch(payload: kafkajs.EachBatchPayload): Promise<void> {
    const { batch, resolveOffset, isRunning, isStale } = payload;
    const { partition } = batch;
    const topic = this.#client.logical(batch.topic);
    if (topic === undefined) return;
    // With several brokers, what one of them sent before a rebalance may be handed over after it.
    const stale = () =>
      this.#stopping || !isRunning() || isStale() || !this.#held.has(`${topic}/${partition}`);
    const heartbeat = () =>
      payload.heartbeat().catch((error: unknown) => {
        // Only what this member has to join again for: after anything else it may go on as it is.
        if (isGroupChange(error)) this.#rebalancing = true;
        throw new GroupChanged(error);
      });
    await awaitWithHeartbeat(this.#assigned, heartbeat);
    // What was fetched along with the batch in which the rebalance was noticed comes again after it.
    if (stale() || this.#rebalancing) return;
    const handled = this.#options.handler.onBatch(
      {
        topic,
        partition,
        // KafkaJS's batches are ours: `fetched-batch.ts`.
        records: batch.messages as unknown as readonly KafkaRecord[],
        fetchedFrom: BigInt((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset),
        nextOffset: BigInt(batch.lastOffset()) + 1n,
        highWatermark: BigInt(batch.highWatermark),
      },
      {
        heartbeat,
        stale,
        rebalancing: () => this.#rebalancing,
        pause: () => this.pause(topic, partition),
        commit: (nextOffset) => this.commit(topic, partition, nextOffset),
      },
    );
    // A rebalance that is seen here only marks it: the handler ends in its own time.
    await awaitWithHeartbeat(handled, () => heartbeat().catch(() => undefined));
    this.#restarts = 0;
    if (!stale()) resolveOffset(batch.lastOffset());
  }

  async commit(topic: string, partition: number, nextOffset: bigint): Promise<void> {
    const offset = String(nextOffset);
    await this.#consumer?.commitOffsets([
      { topic: this.#client.physical(topic), partition, offset },
    ]);
  }

  /** What was taken away is paused no longer: whoever gets it back begins anew. */
  #unpauseLost(held: readonly TopicPartition[]): void {
    const holds = new Set(held.map(({ topic, partition }) => `${topic}/${partition}`));
    for (const [key, { topic, partition }] of this.#paused) {
      if (!holds.has(key)) this.resume(topic, partition);
    }
  }

  pause(topic: string, partition: number): void {
    this.#paused.set(`${topic}/${partition}`, { topic, partition });
    this.#consumer?.pause([{ topic: this.#client.physical(topic), partitions: [partition] }]);
  }

  resume(topic: string, partition: number): void {
    this.#paused.delete(`${topic}/${partition}`);
    this.#consumer?.resume([{ topic: this.#client.physical(topic), partitions: [partition] }]);
  }

  seek(topic: string, partition: number, offset: bigint): void {
    const position = { topic: this.#client.physical(topic), partition, offset: String(offset) };
    this.#consumer?.seek(position);
  }

  describe(): MemberStatus {
    return {
      memberId: this.#memberId,
      generation: this.#generation,
      assigned: this.#holding,
      rebalancing: this.#rebalancing,
    };
  }

  async #onCrash(consumer: kafkajs.Consumer, error: Error): Promise<void> {
    if (this.#stopping || consumer !== this.#consumer) return;
    const cause = (error as { cause?: unknown }).cause ?? error;
    this.#consumer = undefined;
    await consumer.disconnect().catch(() => undefined);
    if (cause instanceof ReachflowError && cause.retry === 'none')
      return this.#fatal('its records cannot be read', cause);
    for (let started = false; !started && !this.#stopping; ) {
      this.#restarts += 1;
      if (this.#restarts > MAX_RESTARTS) return this.#fatal('its consumer kept failing', error);
      const waitMs = backoffMs(this.#restarts, { initialMs: 200, maxMs: 5_000 });
      this.#client.logger.warn(
        { group: this.#options.group, attempt: this.#restarts, waitMs, error: errorMessage(error) },
        'consumer failed, connecting again',
      );
      await delay(waitMs);
      if (this.#stopping) return;
      started = await this.start().then(
        () => true,
        () => false,
      );
    }
  }

  #fatal(what: string, cause: unknown): void {
    if (this.#stopping) return;
    const { group, onFatal } = this.#options;
    const error =
      cause instanceof ReachflowError
        ? cause
        : new ReachflowError(`consumer group ${group}: ${what}: ${errorMessage(cause)}`, {
            code: 'CONSUMER_FAILED',
            domain: 'external',
            hint: 'Check the brokers, then start again: it goes on where it stopped.',
            cause,
          });
    onFatal(error);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const consumer = this.#consumer;
    this.#consumer = undefined;
    await consumer?.disconnect();
    await this.#assigned.catch(() => undefined);
  }
}
