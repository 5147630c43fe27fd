import type { TopicCodec } from '../../schemas/codec.ts';
import type { TopicName } from '../../schemas/topics.ts';
import { errorCode, ReachflowError } from '../errors.ts';
import { type KafkaClient, kafkaUnavailable } from './client.ts';
import type { KafkaConfig } from './config.ts';
import { IdempotentProducer } from './idempotent-producer.ts';
import type { Publication, Publisher } from './publisher.ts';
import { type OutgoingRecord, recordBytes } from './record.ts';

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

/** A publisher that has found a broker. @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff). */
export async function createPublisher(
  client: KafkaClient,
  codec: TopicCodec,
): Promise<OwnedPublisher> {
  const connection = connect(client);
  await connection.producer;
  return publisherOn(client, codec, connection);
}

/** The same, connecting when there is something to send: for a process that starts while no broker answers. */
export function createLazyPublisher(client: KafkaClient, codec: TopicCodec): OwnedPublisher {
  return publisherOn(client, codec, undefined);
}

interface ProducerConnection {
  readonly producer: Promise<IdempotentProducer>;
  /** Ends what it tries. */
  readonly over: AbortController;
}

function connect(client: KafkaClient): ProducerConnection {
  const over = new AbortController();
  const options = { timeoutMs: client.config.ackTimeoutMs, signal: over.signal };
  return { producer: IdempotentProducer.open(client, options), over };
}

function disconnect({ producer, over }: ProducerConnection): void {
  over.abort();
  producer.then(
    (opened) => opened.close(),
    () => undefined,
  );
}

/**
 * Groups concurrent publications into idempotent batches (`acks=all`): a batch leaves when `kafka.lingerMs`
 * passed or `kafka.batchBytes` are waiting, and one is under way at a time, so order per key holds.
 */
function publisherOn(
  client: KafkaClient,
  codec: TopicCodec,
  connected: ProducerConnection | undefined,
): OwnedPublisher {
  const { config } = client;
  let connection = connected;
  const sendBatch = async (records: readonly OutgoingRecord[]): Promise<void> => {
    connection ??= connect(client);
    const current = connection;
    const send = current.producer.then((producer) => producer.send(records));
    try {
      await withTimeout(send, config.ackTimeoutMs);
    } catch (error) {
      // A batch whose ack was lost may be in the log, and its sequence numbers are used: the next batch gets a new
      // producer id.
      connection = undefined;
      disconnect(current);
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
      if (connection !== undefined) disconnect(connection);
    },
  };
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
      if (errorCode(error) === 'RECORD_TOO_LARGE') return this.#deliverEach(batch, error);
      const failure =
        error instanceof ReachflowError && error.retry === 'backoff'
          ? error
          : kafkaUnavailable('no broker acknowledged the record', error);
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
