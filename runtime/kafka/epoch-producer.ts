import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage, ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import { type ClusterLease, leaseProducerCluster } from './cluster-lease.ts';
import { EpochBatches } from './epoch-batches.ts';
import type { Broker, TransactionIdentity } from './kafkajs-internals.ts';
import { partitionOfKey } from './murmur2.ts';
import { PartitionWriter, type ProducerIdentity } from './produce.ts';
import { isFenced, isTooLarge, isUnreachable } from './protocol-errors.ts';
import type { TopicPartition } from './record.ts';

/** Position of a group that is committed with an epoch; logical names. */
export interface EpochOffset {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: bigint;
  /** Kept with it, at most 4,096 bytes; none when absent. */
  readonly metadata?: string;
}

/** What a transaction wrote. */
export interface CommitResult {
  /**
   * The offset behind the last record that the transaction wrote to a partition (its own marker comes at that
   * offset); undefined where it wrote nothing.
   */
  nextOffset(topic: string, partition: number): bigint | undefined;
}

export interface EpochProducerOptions {
  /** The coordinator aborts a transaction that is open for longer, ms. */
  readonly transactionTimeoutMs?: number;
  /** Bytes of the largest batch that a topic takes (`topicLimits`): more is refused where it is appended. */
  readonly limits?: ReadonlyMap<string, number>;
}

/** How long a step of a transaction is tried before its outcome counts as unknown, ms. */
const STEP_TIMEOUT_MS = 15_000;
const OPEN_TIMEOUT_MS = 30_000;
const ABORT_TIMEOUT_MS = 2_000;
/** Right after a commit the coordinator answers CONCURRENT_TRANSACTIONS for a moment. */
const STEP_RETRY = { timeoutMs: STEP_TIMEOUT_MS, pauseMs: 2, maxPauseMs: 50 };

/** State of the transaction at the coordinator, as far as we know: `doubtful` after a failed end. */
type TransactionState = 'none' | 'open' | 'doubtful';

/**
 * A transactional producer (KIP-98) below KafkaJS's: epochs are encoded by their writer, then sent as they are in
 * one transaction. Producers of a client share a few connections. Opening one runs InitProducerId: the open
 * transaction of an earlier owner of the id is aborted and that owner is fenced. Read committed offsets only after it.
 *
 * One `commit` at a time; `begin` and filling the next epoch may go on meanwhile.
 */
export class EpochProducer {
  readonly #client: KafkaClient;
  readonly #lease: ClusterLease;
  readonly #identity: ProducerIdentity & { readonly transactionalId: string };
  readonly #writer: PartitionWriter;
  readonly #counts = new Map<string, number>();
  /** Partitions of the open transaction, as `<topic>/<partition>` of logical names. */
  readonly #added = new Set<string>();
  #written = new Map<string, bigint>();
  #state: TransactionState = 'none';
  #busy = false;
  #failed: ReachflowError | undefined;
  #unkeyed = 0;
  readonly #limits: ReadonlyMap<string, number>;

  private constructor(
    client: KafkaClient,
    lease: ClusterLease,
    identity: ProducerIdentity & { readonly transactionalId: string },
    limits: ReadonlyMap<string, number>,
  ) {
    this.#client = client;
    // What a batch becomes by compression is known only when it is sent: then the broker says whether it is too large.
    this.#limits = client.config.compression === 'none' ? limits : new Map();
    this.#lease = lease;
    this.#identity = identity;
    const { physical, config } = client;
    const { compression } = config;
    const { cluster } = lease;
    const timeoutMs = STEP_TIMEOUT_MS;
    this.#writer = new PartitionWriter({ cluster, identity, compression, physical, timeoutMs });
  }

  /**
   * @param id logical transactional id.
   * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff).
   */
  static async open(
    client: KafkaClient,
    id: string,
    { transactionTimeoutMs = 30_000, limits = new Map() }: EpochProducerOptions = {},
  ): Promise<EpochProducer> {
    const lease = leaseProducerCluster(client);
    const transactionalId = client.physical(id);
    const { cluster } = lease;
    try {
      const retry = { timeoutMs: OPEN_TIMEOUT_MS, pauseMs: 5, maxPauseMs: 250 };
      const answer = await cluster.retrying(retry, () =>
        cluster.callCoordinator('transaction', transactionalId, (broker) =>
          broker.initProducerId({ transactionalId, transactionTimeout: transactionTimeoutMs }),
        ),
      );
      const producerId = BigInt(answer.producerId);
      const { producerEpoch } = answer;
      const identity = { transactionalId, producerId, producerEpoch };
      return new EpochProducer(client, lease, identity, limits);
    } catch (error) {
      lease.release();
      throw kafkaUnavailable(`transactional id ${id} cannot be initialised`, error);
    }
  }

  /**
   * Loads the partition counts of topics that keys are going to be partitioned for; known ones cost nothing.
   * @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff), also when a topic does not exist.
   */
  async prepare(topics: readonly string[]): Promise<void> {
    const { cluster } = this.#lease;
    const { physical } = this.#client;
    const missing = topics.filter((topic) => !this.#counts.has(topic));
    if (missing.length === 0) return;
    try {
      await cluster.retrying({ timeoutMs: STEP_TIMEOUT_MS, pauseMs: 50 }, async () => {
        await cluster.loadTopics(missing.map(physical));
        for (const topic of missing) {
          this.#counts.set(topic, await cluster.partitionCount(physical(topic)));
        }
      });
    } catch (error) {
      throw kafkaUnavailable(`the partitions of ${missing.join(', ')} cannot be read`, error);
    }
  }

  /** Partitions of a prepared topic. @throws Error when it is not prepared: a bug of the caller. */
  partitionCount(topic: string): number {
    const count = this.#counts.get(topic);
    if (count === undefined) throw new Error(`prepare was not called for ${topic}`);
    return count;
  }

  /** Partition of a key, as Java's default partitioner chooses it; records without a key go round. @throws as `partitionCount`. */
  partitionFor(topic: string, key: Buffer | string | null): number {
    const partitions = this.partitionCount(topic);
    if (key !== null) return partitionOfKey(key, partitions);
    this.#unkeyed = (this.#unkeyed + 1) % partitions;
    return this.#unkeyed;
  }

  /** A new, empty epoch to fill. Give it back by `commit`, or by its own `release`. */
  begin(): EpochBatches {
    return new EpochBatches(this.#lease.cluster.buffers, this.#limits);
  }

  /**
   * Sends what an epoch holds so far and empties it, within the transaction that the next `commit` ends: for epochs
   * that would take too much memory as a whole.
   * @throws as `commit`.
   */
  flush(batches: EpochBatches): Promise<void> {
    return this.#exclusively(batches, () => this.#send(batches));
  }

  /**
   * Writes records and offsets in one transaction; either may be empty. The batches are of no further use.
   * @throws ReachflowError `FENCED` when another owner took over, or the coordinator aborted the transaction for its
   *   age; `RECORD_TOO_LARGE` when the broker will never take a record; `COMMIT_FAILED` (retry: backoff) otherwise: the
   *   outcome is then unknown. After any of them this producer is of
   *   no further use: close it, open a new one and read the committed offsets.
   */
  async commit(batches: EpochBatches, offsets: readonly EpochOffset[]): Promise<CommitResult> {
    await this.#exclusively(batches, async () => {
      const sent = batches.count > 0 ? this.#addPartitions(batches.partitions) : undefined;
      await sent;
      await settleAll([this.#write(batches), this.#sendOffsets(offsets)]);
      if (this.#state === 'open') await this.#end(true);
    });
    const written = this.#written;
    this.#written = new Map();
    return { nextOffset: (topic, partition) => written.get(`${topic}/${partition}`) };
  }

  /**
   * Ends what an earlier owner of the id has left undecided in these partitions, and in the group's offsets, by a
   * transaction without records that is aborted. Fencing does that by itself; but Kafka 4.3.0 and 4.3.1 write no marker to
   * a partition that has no leader just then (KAFKA-20734): this owner's next commit would commit the other's records.
   * Call before anything is written; all topics must be prepared.
   * @throws as `commit`.
   */
  async discardLeftovers(partitions: readonly TopicPartition[], group: string): Promise<void> {
    await this.#exclusively(this.begin(), async () => {
      await this.#addPartitions(partitions);
      await this.#addGroup(this.#client.physical(group));
      await this.#end(false);
    });
  }

  /** Aborts the transaction that is open, if one is: its records do not hold readers back any longer. Never throws. */
  async abort(): Promise<void> {
    if (this.#state === 'none') return;
    const { logger } = this.#client;
    // A broker that hangs must not hold up who closes.
    const timer = new AbortController();
    const { signal } = timer;
    const bound = delay(ABORT_TIMEOUT_MS, undefined, { signal }).catch(() => undefined);
    const ended = this.#end(false, ABORT_TIMEOUT_MS).catch((error: unknown) => {
      logger.debug({ error: errorMessage(error) }, 'transaction not aborted; its timeout will');
    });
    await Promise.race([ended, bound]);
    timer.abort();
    this.#state = 'none';
  }

  /** Aborts what is open and lets go of the connections. Idempotent. */
  async close(): Promise<void> {
    await this.abort();
    this.#failed ??= closed();
    this.#lease.release();
  }

  async #exclusively(batches: EpochBatches, work: () => Promise<void>): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#busy) throw new Error('one commit of a producer at a time');
    this.#busy = true;
    try {
      await work();
      if (this.#writer.takeAbandoned()) batches.discard();
      else batches.release();
    } catch (error) {
      batches.discard();
      this.#failed = commitFailed(error);
      await this.abort();
      throw this.#failed;
    } finally {
      this.#busy = false;
    }
  }

  async #send(batches: EpochBatches): Promise<void> {
    if (batches.count === 0) return;
    await this.#addPartitions(batches.partitions);
    await this.#write(batches);
  }

  async #write(batches: EpochBatches): Promise<void> {
    if (batches.count === 0) return;
    await this.#writer.write(batches.partitions, (topic, partition, next) =>
      this.#written.set(`${topic}/${partition}`, next),
    );
  }

  async #addPartitions(partitions: readonly TopicPartition[]): Promise<void> {
    const { physical } = this.#client;
    const missing = partitions.filter((p) => !this.#added.has(`${p.topic}/${p.partition}`));
    if (missing.length === 0) return;
    const topics = [...Map.groupBy(missing, ({ topic }) => topic)].map(([topic, own]) => ({
      topic: physical(topic),
      partitions: own.map(({ partition }) => partition),
    }));
    this.#state = 'open';
    await this.#step((broker, identity) => broker.addPartitionsToTxn({ ...identity, topics }));
    for (const { topic, partition } of missing) this.#added.add(`${topic}/${partition}`);
  }

  /** @param groupId as the brokers know it. */
  async #addGroup(groupId: string): Promise<void> {
    this.#state = 'open';
    await this.#step((broker, identity) => broker.addOffsetsToTxn({ ...identity, groupId }));
  }

  async #sendOffsets(offsets: readonly EpochOffset[]): Promise<void> {
    const { physical } = this.#client;
    const { cluster } = this.#lease;
    for (const [group, own] of Map.groupBy(offsets, ({ group }) => group)) {
      const groupId = physical(group);
      await this.#addGroup(groupId);
      const topics = [...Map.groupBy(own, ({ topic }) => topic)].map(([topic, positions]) => ({
        topic: physical(topic),
        partitions: positions.map(({ partition, nextOffset, metadata = null }) => ({
          partition,
          offset: String(nextOffset),
          metadata,
        })),
      }));
      const request = { ...this.#wireIdentity(), groupId, topics };
      await cluster.retrying({ ...STEP_RETRY, once: true }, () =>
        cluster.callCoordinator('group', groupId, (broker) => broker.txnOffsetCommit(request)),
      );
    }
  }

  async #end(commit: boolean, timeoutMs = STEP_TIMEOUT_MS): Promise<void> {
    this.#state = 'doubtful';
    await this.#step(
      (broker, identity) => broker.endTxn({ ...identity, transactionResult: commit }),
      { timeoutMs, once: true },
    );
    this.#state = 'none';
    this.#added.clear();
  }

  /**
   * A request to the transaction's coordinator, repeated while it may pass. One that ends a transaction, or has its offsets,
   * is not repeated after its connection was lost: the broker may come to the first one later, and would end the next
   * transaction by it, or take the group back (KIP-890; its version 2 of transactions, which the client does not speak,
   * tells them apart). Opening a producer anew makes such a request too old.
   */
  async #step(
    send: (broker: Broker, identity: TransactionIdentity) => Promise<unknown>,
    retry: { readonly timeoutMs?: number; readonly once?: boolean } = {},
  ): Promise<void> {
    const { cluster } = this.#lease;
    const identity = this.#wireIdentity();
    const { transactionalId } = identity;
    await cluster.retrying({ ...STEP_RETRY, ...retry }, () =>
      cluster.callCoordinator('transaction', transactionalId, (broker) => send(broker, identity)),
    );
  }

  #wireIdentity(): TransactionIdentity {
    const { transactionalId, producerId, producerEpoch } = this.#identity;
    return { transactionalId, producerId: String(producerId), producerEpoch };
  }
}

/** Waits for all, then throws the first failure: nothing of a failed transaction is still under way. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) {
    if (result.status === 'rejected') throw result.reason;
  }
}

function commitFailed(error: unknown): ReachflowError {
  if (isFenced(error)) {
    return new ReachflowError('another owner of this transactional id took over', {
      code: 'FENCED',
      domain: 'external',
      cause: error,
    });
  }
  if (isTooLarge(error)) {
    return new ReachflowError(
      `the broker does not take a record of this size: ${errorMessage(error)}`,
      {
        code: 'RECORD_TOO_LARGE',
        domain: 'user',
        hint: 'Raise max.message.bytes of the topic (maxMessageBytes in schemas/topics.ts), or make the step write less.',
        cause: error,
      },
    );
  }
  const unreachable = isUnreachable(error);
  return new ReachflowError(`the transaction was not committed: ${errorMessage(error)}`, {
    code: 'COMMIT_FAILED',
    domain: 'external',
    retry: 'backoff',
    ...(unreachable ? { hint: 'The brokers could not be reached: are they up?' } : {}),
    cause: error,
  });
}

function closed(): ReachflowError {
  return new ReachflowError('this producer is closed', {
    code: 'COMMIT_FAILED',
    domain: 'internal',
    retry: 'backoff',
  });
}
