import { ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import { type ClusterLease, leaseProducerCluster } from './cluster-lease.ts';
import { EpochBatches } from './epoch-batches.ts';
import { partitionOfKey } from './murmur2.ts';
import { PartitionWriter } from './produce.ts';
import { isTooLarge } from './protocol-errors.ts';
import type { OutgoingRecord } from './record.ts';

export interface IdempotentProducerOptions {
  /** How long a request is tried, ms. */
  readonly timeoutMs: number;
  /** Ends what is being tried. */
  readonly signal?: AbortSignal;
}

/** What InitProducerId asks for; it has no meaning without transactions. */
const TRANSACTION_TIMEOUT_MS = 60_000;

/**
 * Writes records with `acks=all` outside of transactions. A batch that has to be sent again is recognised by the
 * brokers, also after they were restarted (KIP-98): within one `send` nothing is written twice, however often the
 * way to the broker breaks.
 */
export class IdempotentProducer {
  readonly #client: KafkaClient;
  readonly #lease: ClusterLease;
  readonly #writer: PartitionWriter;
  readonly #retry: { readonly timeoutMs: number; readonly signal?: AbortSignal };
  #unkeyed = 0;
  #failed: ReachflowError | undefined;

  private constructor(
    client: KafkaClient,
    lease: ClusterLease,
    options: IdempotentProducerOptions,
    writer: PartitionWriter,
  ) {
    this.#client = client;
    this.#lease = lease;
    this.#retry = options;
    this.#writer = writer;
  }

  /** Gets a producer id. @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff). */
  static async open(
    client: KafkaClient,
    options: IdempotentProducerOptions,
  ): Promise<IdempotentProducer> {
    const lease = leaseProducerCluster(client);
    const { cluster } = lease;
    const request = { transactionalId: null, transactionTimeout: TRANSACTION_TIMEOUT_MS };
    try {
      const { producerId, producerEpoch } = await cluster.retrying(options, async () =>
        cluster.call(await cluster.anyBroker(), (broker) => broker.initProducerId(request)),
      );
      const identity = { transactionalId: null, producerId: BigInt(producerId), producerEpoch };
      const { physical, config } = client;
      const { compression } = config;
      const writer = new PartitionWriter({ cluster, identity, compression, physical, ...options });
      return new IdempotentProducer(client, lease, options, writer);
    } catch (error) {
      lease.release();
      throw kafkaUnavailable('no broker gives a producer id', error);
    }
  }

  /**
   * Resolves when every in-sync replica has all records. One call at a time.
   * @throws ReachflowError `RECORD_TOO_LARGE` when a broker will never take one of them, `KAFKA_UNAVAILABLE` (retry:
   *   backoff) otherwise: some may be written. After either this producer is of no further use.
   */
  async send(records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    const batches = new EpochBatches(this.#lease.cluster.buffers);
    try {
      const now = Date.now();
      for (const record of records) {
        const found = record.partition ?? this.#partitionFor(record);
        const partition = typeof found === 'number' ? found : await found;
        const { topic, key, value, headers, timestamp = now } = record;
        batches.append(topic, partition, key, value, timestamp, headers);
      }
      await this.#writer.write(batches.partitions, () => undefined);
      if (this.#writer.takeAbandoned()) batches.discard();
      else batches.release();
    } catch (error) {
      batches.discard();
      this.#failed = sendFailed(error);
      throw this.#failed;
    }
  }

  /** Lets go of the connections. Idempotent. */
  close(): void {
    this.#lease.release();
  }

  #partitionFor({ topic, key }: OutgoingRecord): number | Promise<number> {
    const { cluster } = this.#lease;
    const physical = this.#client.physical(topic);
    const known = cluster.knownPartitions(physical);
    if (known !== undefined) return this.#partitionOf(key, known);
    return cluster
      .retrying(this.#retry, () => cluster.partitionCount(physical))
      .then((partitions) => this.#partitionOf(key, partitions));
  }

  /** As Java's default partitioner chooses it; records without a key go round. */
  #partitionOf(key: Buffer | string | null, partitions: number): number {
    if (key !== null) return partitionOfKey(key, partitions);
    this.#unkeyed = (this.#unkeyed + 1) % partitions;
    return this.#unkeyed;
  }
}

/** What `send` throws for what a broker, or the way to it, answered. */
export function sendFailed(error: unknown): ReachflowError {
  if (!isTooLarge(error)) return kafkaUnavailable('no broker acknowledged the record', error);
  return new ReachflowError('the brokers do not take a record of this size', {
    code: 'RECORD_TOO_LARGE',
    domain: 'user',
    hint: 'Raise max.message.bytes of the topic, or send less.',
    cause: error,
  });
}
