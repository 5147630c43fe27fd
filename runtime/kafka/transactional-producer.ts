import type kafkajs from 'kafkajs';
import { errorMessage, ReachflowError } from '../errors.ts';
import { defaultPartitioner, type KafkaClient, kafkaUnavailable } from './client.ts';
import { type OutgoingRecord, toRequests } from './record.ts';

/** What one epoch commits as a whole. */
export interface EpochCommit {
  /** At least one: a transaction's first request must add a partition (see `commit`). */
  readonly records: readonly OutgoingRecord[];
  readonly offsets?: {
    readonly group: string;
    readonly topic: string;
    readonly partition: number;
    readonly nextOffset: bigint;
  };
}

const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
]);

/**
 * A transactional producer (KIP-98). Opening one runs InitProducerId: the open transaction of an earlier
 * owner of the id is aborted and that owner is fenced. Read committed offsets only after it.
 */
export class TransactionalProducer {
  readonly #client: KafkaClient;
  readonly #producer: kafkajs.Producer;

  private constructor(client: KafkaClient, producer: kafkajs.Producer) {
    this.#client = client;
    this.#producer = producer;
  }

  /** @param id logical transactional id. @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff). */
  static async open(client: KafkaClient, id: string): Promise<TransactionalProducer> {
    const producer = client.kafka.producer({
      transactionalId: client.physical(id),
      idempotent: true,
      maxInFlightRequests: 1,
      transactionTimeout: 30_000,
      allowAutoTopicCreation: false,
      createPartitioner: defaultPartitioner,
      // Right after a commit the coordinator answers CONCURRENT_TRANSACTIONS for a moment; the client waits
      // this long before it asks again, so it bounds the transactions per second.
      retry: { initialRetryTime: 5, maxRetryTime: 500, retries: 12 },
    });
    try {
      await producer.connect();
      // KafkaJS runs InitProducerId with the first transaction, not when it connects: an empty one does it now.
      await (await producer.transaction()).abort();
    } catch (error) {
      await producer.disconnect().catch(() => undefined);
      throw kafkaUnavailable(`transactional id ${id} cannot be initialised`, error);
    }
    return new TransactionalProducer(client, producer);
  }

  /**
   * Writes records and offsets in one transaction. Records go first: KafkaJS does not retry
   * CONCURRENT_TRANSACTIONS for offsets that open a transaction.
   * @throws ReachflowError `FENCED` when another owner took over, `COMMIT_FAILED` (retry: backoff) otherwise:
   *   the outcome is then unknown, so close this producer, open a new one and read the committed offsets.
   */
  async commit({ records, offsets }: EpochCommit): Promise<void> {
    const { physical, compression } = this.#client;
    let transaction: kafkajs.Transaction | undefined;
    try {
      transaction = await this.#producer.transaction();
      for (const topicMessages of toRequests(records, physical)) {
        await transaction.sendBatch({ topicMessages, compression, acks: -1 });
      }
      if (offsets !== undefined) {
        const partitions = [{ partition: offsets.partition, offset: String(offsets.nextOffset) }];
        await transaction.sendOffsets({
          consumerGroupId: physical(offsets.group),
          topics: [{ topic: physical(offsets.topic), partitions }],
        });
      }
      await transaction.commit();
    } catch (error) {
      if (transaction?.isActive() === true) await transaction.abort().catch(() => undefined);
      throw commitFailed(error);
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect().catch(() => undefined);
  }
}

function commitFailed(error: unknown): ReachflowError {
  const type = (error as { type?: unknown } | null)?.type;
  if (typeof type === 'string' && FENCED.has(type)) {
    return new ReachflowError('another owner of this transactional id took over', {
      code: 'FENCED',
      domain: 'external',
      cause: error,
    });
  }
  return new ReachflowError(`the transaction was not committed: ${errorMessage(error)}`, {
    code: 'COMMIT_FAILED',
    domain: 'external',
    retry: 'backoff',
    cause: error,
  });
}
