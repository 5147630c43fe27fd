import { setTimeout as delay } from 'node:timers/promises';
import type kafkajs from 'kafkajs';
import { awaitWithHeartbeat, backoffMs } from '../backoff.ts';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaClient } from './client.ts';
import {
  GroupChanged,
  type MemberStatus,
  type PartitionConsumer,
  type PartitionConsumerOptions,
} from './consumer-contract.ts';
import { createGroupAssigner, type GroupMember } from './group-assigner.ts';
import { isGroupChange } from './protocol-errors.ts';
import type { KafkaRecord, TopicPartition } from './record.ts';

export type {
  BatchControl,
  MemberStatus,
  PartitionConsumer,
  PartitionConsumerOptions,
  PartitionHandler,
} from './consumer-contract.ts';
export { GroupChanged } from './consumer-contract.ts';
export type { TopicPartition };

type EndOfBatch = Pick<
  kafkajs.ConsumerEndBatchProcessEvent['payload'],
  'topic' | 'partition' | 'firstOffset' | 'lastOffset'
>;

const MAX_RESTARTS = 30;

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

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
  /** The same, once it is in its group: before, KafkaJS refuses to pause, resume and seek. */
  #joined: kafkajs.Consumer | undefined;
  #assigned: Promise<void> = Promise.resolve();
  #stopping = false;
  #restarts = 0;
  /** Partitions of the present assignment, as `<topic>/<partition>`. */
  #held: ReadonlySet<string> = new Set();
  #holding: readonly TopicPartition[] = [];
  #memberId: string | undefined;
  #generation = -1;
  #rebalancing = false;
  #confirmedAt = 0;
  /** As `<topic>/<partition>`: a consumer that is made anew has to be told again. */
  readonly #paused = new Map<string, TopicPartition>();
  /** How often each partition held was sought: a batch from before must not move the position behind itself. */
  readonly #seeks = new Map<string, number>();

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
      this.#confirmedAt = Date.now();
      this.#joined = consumer;
      this.#onJoin(payload.memberAssignment as Record<string, number[]>);
    });
    consumer.on(consumer.events.HEARTBEAT, () => {
      this.#confirmedAt = Date.now();
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
    // Stopped meanwhile: to run would leave a member in the group that nobody knows of.
    if (this.#stopping) return consumer.disconnect();
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: concurrency,
      eachBatch: (payload) => this.#eachBatch(payload),
    });
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
    const before = this.#held;
    this.#held = new Set(held.map(keyOf));
    this.#holding = held;
    this.#rebalancing = false;
    this.#pauseAssigned(before);
    // One assignment after the other: a rebalance may come while the last is still being taken up.
    this.#assigned = this.#assigned
      .catch(() => undefined)
      .then(() => this.#options.handler.onAssigned(held, this));
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
    const key = keyOf({ topic, partition });
    const seeks = this.#seeks.get(key);
    const stale = () =>
      this.#stopping ||
      !isRunning() ||
      isStale() ||
      this.#seeks.get(key) !== seeks ||
      !this.#held.has(key);
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
    await this.#joined?.commitOffsets([{ topic: this.#client.physical(topic), partition, offset }]);
  }

  /**
   * What was taken away is paused no longer: whoever gets it back begins anew. Called before the first fetch of a
   * generation, so that nothing comes of a partition that is to start paused, nor from a consumer that was made anew.
   */
  #pauseAssigned(before: ReadonlySet<string>): void {
    for (const [key, { topic, partition }] of this.#paused) {
      if (!this.#held.has(key)) this.resume(topic, partition);
    }
    for (const key of this.#seeks.keys()) if (!this.#held.has(key)) this.#seeks.delete(key);
    for (const one of this.#holding) {
      const isNew = this.#options.startPaused === true && !before.has(keyOf(one));
      if (isNew || this.#paused.has(keyOf(one))) this.pause(one.topic, one.partition);
    }
  }

  pause(topic: string, partition: number): void {
    this.#paused.set(keyOf({ topic, partition }), { topic, partition });
    this.#joined?.pause([{ topic: this.#client.physical(topic), partitions: [partition] }]);
  }

  resume(topic: string, partition: number): void {
    this.#paused.delete(keyOf({ topic, partition }));
    this.#joined?.resume([{ topic: this.#client.physical(topic), partitions: [partition] }]);
  }

  seek(topic: string, partition: number, offset: bigint): void {
    const key = keyOf({ topic, partition });
    if (!this.#held.has(key)) return;
    this.#seeks.set(key, (this.#seeks.get(key) ?? 0) + 1);
    const position = { topic: this.#client.physical(topic), partition, offset: String(offset) };
    this.#joined?.seek(position);
  }

  describe(): MemberStatus {
    return {
      memberId: this.#memberId,
      generation: this.#generation,
      assigned: this.#holding,
      rebalancing: this.#rebalancing,
      confirmedAt: this.#confirmedAt,
    };
  }

  async #onCrash(consumer: kafkajs.Consumer, error: Error): Promise<void> {
    if (this.#stopping || consumer !== this.#consumer) return;
    const cause = (error as { cause?: unknown }).cause ?? error;
    this.#consumer = undefined;
    this.#joined = undefined;
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
    this.#joined = undefined;
    await consumer?.disconnect();
    await this.#assigned.catch(() => undefined);
  }
}
