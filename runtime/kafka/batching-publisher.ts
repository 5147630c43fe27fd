import type kafkajs from 'kafkajs';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { TopicName } from '../../schemas/topics.ts';
import { ReachflowError } from '../errors.ts';
import { defaultPartitioner, type KafkaClient, kafkaUnavailable } from './client.ts';
import type { KafkaConfig } from './config.ts';
import { CODE, protocolCode } from './protocol-errors.ts';
import type { Publication, Publisher } from './publisher.ts';
import { type OutgoingRecord, recordBytes, toRequests } from './record.ts';

interface Waiting {
  readonly record: OutgoingRecord;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: ReachflowError) => void;
}

/** A publisher that owns a connection. */
export interface OwnedPublisher extends Publisher {
  /**
   * Publishes bytes as they are: for redrive and for tests of what readers do with broken records.
   * @throws as `publish`; ReachflowError `RECORD_TOO_LARGE` (domain user) when the topic does not take a record so large.
   */
  publishRaw(record: OutgoingRecord): Promise<void>;
  /** Sends what waits, then disconnects. */
  close(): Promise<void>;
}

/**
 * Groups concurrent publications into idempotent batches (`acks=all`): a batch leaves when `kafka.lingerMs`
 * passed or `kafka.batchBytes` are waiting, and one is under way at a time, so order per key holds.
 */
export async function createPublisher(
  client: KafkaClient,
  codec: TopicCodec,
): Promise<OwnedPublisher> {
  const { config } = client;
  let producer: kafkajs.Producer | undefined = await connect(client);
  const sendBatch = async (records: readonly OutgoingRecord[]): Promise<void> => {
    producer ??= await connect(client);
    const current = producer;
    try {
      await withTimeout(sendAll(client, current, records), config.ackTimeoutMs);
    } catch (error) {
      // A batch whose ack was lost may be in the log. KafkaJS would give its sequence numbers to the next
      // batch, which the broker would then drop as a duplicate: a new producer id rules that out.
      producer = undefined;
      current.disconnect().catch(() => undefined);
      throw error;
    }
  };
  const queue = new BatchQueue(config, sendBatch);
  const registered = new Map<TopicName, Promise<void>>();
  const register = (topic: TopicName): Promise<void> => {
    let pending = registered.get(topic);
    if (pending === undefined) {
      pending = codec.register([topic]);
      registered.set(topic, pending);
      pending.catch(() => registered.delete(topic));
    }
    return pending;
  };
  return {
    async publish<T extends TopicName>(topic: T, publication: Publication<T>) {
      await register(topic);
      const { value, ...rest } = publication;
      await queue.add({ topic, value: codec.encode(topic, value), ...rest });
    },
    publishRaw: (record) => queue.add(record),
    async close() {
      await queue.drain();
      await producer?.disconnect();
    },
  };
}

async function connect(client: KafkaClient): Promise<kafkajs.Producer> {
  const producer = client.kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner: defaultPartitioner,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 6 },
  });
  try {
    await producer.connect();
  } catch (error) {
    await producer.disconnect().catch(() => undefined);
    throw kafkaUnavailable('the publisher cannot reach a broker', error);
  }
  return producer;
}

async function sendAll(
  client: KafkaClient,
  producer: kafkajs.Producer,
  records: readonly OutgoingRecord[],
): Promise<void> {
  for (const topicMessages of toRequests(records, client.physical)) {
    await producer.sendBatch({ topicMessages, acks: -1, compression: client.compression });
  }
}

type BatchLimits = Pick<KafkaConfig, 'lingerMs' | 'batchBytes' | 'maxQueuedRecords'>;

/** Bounded queue of records that go out in batches, one batch at a time. */
export class BatchQueue {
  readonly #limits: BatchLimits;
  readonly #send: (records: readonly OutgoingRecord[]) => Promise<void>;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #underWay = 0;
  #sending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: BatchLimits, send: (records: readonly OutgoingRecord[]) => Promise<void>) {
    this.#limits = limits;
    this.#send = send;
  }

  /** Resolves once `send` has taken the record's batch. @throws ReachflowError `PUBLISH_QUEUE_FULL`. */
  add(record: OutgoingRecord): Promise<void> {
    if (this.#waiting.length + this.#underWay >= this.#limits.maxQueuedRecords) {
      return Promise.reject(
        new ReachflowError(
          `${this.#limits.maxQueuedRecords} records wait for the brokers already`,
          {
            code: 'PUBLISH_QUEUE_FULL',
            domain: 'external',
            retry: 'backoff',
            hint: 'The brokers are slower than the input: add capacity, or raise kafka.maxQueuedRecords.',
          },
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const bytes = recordBytes(record);
      this.#waiting.push({ record, bytes, resolve, reject });
      this.#waitingBytes += bytes;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#sending !== undefined) return;
    if (this.#waitingBytes >= this.#limits.batchBytes) {
      this.#flush();
    } else if (this.#timer === undefined && this.#waiting.length > 0) {
      this.#timer = setTimeout(() => this.#flush(), this.#limits.lingerMs);
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#underWay = batch.length;
    this.#sending = this.#deliver(batch).finally(() => {
      this.#sending = undefined;
      this.#underWay = 0;
      this.#schedule();
    });
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { bytes: size } of this.#waiting) {
      if (count > 0 && bytes + size > this.#limits.batchBytes) break;
      bytes += size;
      count += 1;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  async #deliver(batch: readonly Waiting[]): Promise<void> {
    try {
      await this.#send(batch.map(({ record }) => record));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      if (protocolCode(error) === CODE.messageTooLarge) return this.#deliverEach(batch, error);
      const failure = kafkaUnavailable('no broker acknowledged the record', error);
      for (const { reject } of batch) reject(failure);
    }
  }

  /** One of them is larger than its topic takes: the others are not to fail with it. */
  async #deliverEach(batch: readonly Waiting[], error: unknown): Promise<void> {
    const [only] = batch;
    if (only !== undefined && batch.length === 1) only.reject(tooLarge(only.record, error));
    else for (const one of batch) await this.#deliver([one]);
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drain(): Promise<void> {
    while (this.#waiting.length > 0 || this.#sending !== undefined) {
      if (this.#sending === undefined) this.#flush();
      await this.#sending;
    }
  }
}

function tooLarge({ topic }: OutgoingRecord, cause: unknown): ReachflowError {
  return new ReachflowError(`a record is larger than ${topic} takes`, {
    code: 'RECORD_TOO_LARGE',
    domain: 'user',
    hint: 'Raise max.message.bytes of the topic.',
    cause,
  });
}

async function withTimeout(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
