import type { Logger } from 'pino';
import type { TopicCodec } from '../../schemas/codec.ts';
import { type TopicName, topics } from '../../schemas/topics.ts';
import { settledWithin } from '../backoff.ts';
import { errorCode, errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaClient } from '../kafka/client.ts';
import { IdempotentProducer } from '../kafka/idempotent-producer.ts';
import type { Publication, Publisher } from '../kafka/publisher.ts';
import { type OutgoingRecord, recordBytes } from '../kafka/record.ts';
import type { SpoolConfig } from './config.ts';
import { DrainLoop } from './drain-loop.ts';
import { encodeSpooled } from './record.ts';
import type { LogPosition, SegmentLog } from './segment-log.ts';

export interface SpoolingPublisherOptions {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly log: SegmentLog;
  /** Under which the spool's position is committed, too; it must exist before anything is drained. */
  readonly topic: TopicName;
  readonly config: Pick<SpoolConfig, 'patienceMs'>;
  readonly logger: Logger;
}

/**
 * - `direct`: the log is empty, records go to the brokers.
 * - `spooling`: records go to the log, behind those that are there.
 * - `closing`: the log is nearly drained; records wait in memory for the rest of it, then go to the brokers.
 */
export type SpoolMode = 'direct' | 'spooling' | 'closing';

/** How a spool stands. */
export interface SpoolStanding {
  readonly mode: SpoolMode;
  readonly bytes: number;
  readonly records: number;
  /** Since when the oldest has waited, ms since the epoch; undefined when nothing waits. */
  readonly oldestAt: number | undefined;
  /** Since it was opened: records that went to disk, those drained from there, bytes found damaged. */
  readonly spooled: number;
  readonly drained: number;
  readonly damagedBytes: number;
  /** Why draining does not go on; undefined when it does. */
  readonly failure: string | undefined;
}

interface Waiting {
  readonly record: OutgoingRecord;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The batch that is under way to the brokers. */
interface Flight {
  readonly batch: readonly Waiting[];
  readonly written: Promise<void>;
  /** True once its records are the log's to answer for. */
  handedOver: boolean;
}

/**
 * How long a batch whose copy is spooled is still tried, so that it need not be written a second time, ms: as long as
 * brokers know the sequence numbers of a producer that is silent (`producer.id.expiration.ms`).
 */
const DOUBT_MS = 86_400_000;
/** With fewer records left in the log new ones wait for the last of them. */
const CLOSING_RECORDS = 5_000;
/** Room in a batch for what is not key, value or headers. */
const OVERHEAD_BYTES = 512;
/** How long a stop waits for a transaction that is under way, ms. */
const STOP_MS = 3_000;

/**
 * Publishes to the brokers, and to a log on disk while they are away or too slow; then everything goes through the
 * log, in order, until it is drained. A record is accepted once all in-sync replicas have it, or the disk does.
 *
 * Records of a key reach their topic in the order of the calls. Draining is exactly once. Where acks did not come, the
 * batch is in the log and still under way: it is tried again under its own sequence numbers before anything is
 * drained, so it is written twice only if the process ends in between.
 */
export class SpoolingPublisher implements Publisher {
  readonly #options: SpoolingPublisherOptions;
  readonly #registered = new Set<TopicName>();
  readonly #registering = new Map<TopicName, Promise<void>>();
  readonly #over = new AbortController();
  readonly #drain: DrainLoop;
  #mode: SpoolMode = 'direct';
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #flight: Flight | undefined;
  #sending: Promise<void> | undefined;
  #producer: IdempotentProducer | undefined;
  #closingTimer: NodeJS.Timeout | undefined;
  #spooled = 0;
  #closed = false;

  /** Drains what the log holds first. Connects when there is something to send. */
  constructor(options: SpoolingPublisherOptions) {
    const { client, log, topic, logger } = options;
    const { signal } = this.#over;
    this.#options = options;
    this.#drain = new DrainLoop({
      ...{ client, log, topic, logger, signal },
      onPass: () => this.#afterPass(),
      onFailure: () => this.#mode === 'closing' && this.#startSpooling('draining failed'),
    });
    if (log.isEmpty) return;
    this.#startSpooling('an earlier process left events there');
  }

  get standing(): SpoolStanding {
    const { drained, failure } = this.#drain;
    const { standing } = this.#options.log;
    return { ...standing, mode: this.#mode, spooled: this.#spooled, drained, failure };
  }

  /**
   * Resolves when every in-sync replica has the record, or the disk does.
   * @throws ReachflowError `SCHEMA_MISMATCH`, `RECORD_TOO_LARGE` (retry: none); `SPOOL_FULL`, `SPOOL_UNAVAILABLE`,
   *   `REGISTRY_UNAVAILABLE`, `PUBLISHER_CLOSED` (retry: backoff).
   */
  publish<T extends TopicName>(topic: T, publication: Publication<T>): Promise<void> {
    if (this.#registered.has(topic)) return this.#take(topic, publication);
    return this.#register(topic).then(() => this.#take(topic, publication));
  }

  #take<T extends TopicName>(topic: T, publication: Publication<T>): Promise<void> {
    return new Promise((resolve, reject) => {
      const { value, ...rest } = publication;
      const record = { topic, value: this.#options.codec.encode(topic, value), ...rest };
      const bytes = recordBytes(record);
      const limit = topics[topic].maxMessageBytes;
      if (bytes + OVERHEAD_BYTES > limit) throw tooLarge(topic, bytes, limit);
      if (this.#closed) throw closed();
      const waiting = { record, bytes, resolve, reject };
      if (this.#mode === 'spooling') {
        void this.#spool(waiting);
      } else {
        this.#waiting.push(waiting);
        this.#schedule();
      }
    });
  }

  /** What was taken is finished; what is in the log stays there for the next process. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#mode === 'closing') this.#startSpooling('it is being closed');
    while (this.#mode === 'direct' && (this.#waiting.length > 0 || this.#flight !== undefined)) {
      this.#send();
      await this.#settledOrHandedOver();
    }
    this.#over.abort();
    this.#producer?.close();
    await settledWithin(STOP_MS, [this.#drain.stopped]);
    await this.#options.log.close();
  }

  /** Of the batch under way. */
  async #settledOrHandedOver(): Promise<void> {
    const { patienceMs } = this.#options.config;
    if (this.#sending !== undefined) await settledWithin(patienceMs, [this.#sending]);
  }

  #register(topic: TopicName): Promise<void> {
    let pending = this.#registering.get(topic);
    if (pending === undefined) {
      pending = this.#options.codec.register([topic]);
      this.#registering.set(topic, pending);
      const settled = (): unknown => this.#registering.delete(topic);
      // Before those who wait for it go on, in the order of their calls: who calls from then on comes after them.
      pending.then(() => {
        this.#registered.add(topic);
        settled();
      }, settled);
    }
    return pending;
  }

  #schedule(): void {
    const { lingerMs, maxQueuedRecords } = this.#options.client.config;
    if (this.#waiting.length >= maxQueuedRecords) {
      this.#startSpooling('too many events wait for the brokers');
    } else if (this.#mode === 'direct' && this.#flight === undefined) {
      this.#timer ??= setTimeout(() => this.#send(), lingerMs);
    }
  }

  /** Sends what waits, one batch at a time. */
  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#mode !== 'direct' || this.#flight !== undefined) return;
    const batch = this.#takeBatch();
    if (batch.length === 0) return;
    const written = this.#write(batch.map(({ record }) => record));
    this.#sending = this.#await({ batch, written, handedOver: false });
  }

  #takeBatch(): Waiting[] {
    const { batchBytes } = this.#options.client.config;
    let bytes = 0;
    let count = 0;
    for (const { bytes: size } of this.#waiting) {
      if (count > 0 && bytes + size > batchBytes) break;
      bytes += size;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #await(flight: Flight): Promise<void> {
    const { batch, written } = flight;
    this.#flight = flight;
    const { patienceMs } = this.#options.config;
    const timer = setTimeout(() => this.#startSpooling('no acks in time'), patienceMs);
    try {
      await written;
      if (!flight.handedOver) for (const { resolve } of batch) resolve();
    } catch (error) {
      if (flight.handedOver) return;
      // The same again would be refused again, from the log, too.
      const isRefused = errorCode(error) === 'RECORD_TOO_LARGE';
      if (isRefused) for (const { reject } of batch) reject(error);
      else this.#startSpooling(errorMessage(error));
    } finally {
      clearTimeout(timer);
      if (this.#flight === flight) this.#flight = undefined;
      if (this.#mode === 'direct' && this.#waiting.length > 0) this.#schedule();
    }
  }

  async #write(records: readonly OutgoingRecord[]): Promise<void> {
    const { client } = this.#options;
    const retry = { timeoutMs: DOUBT_MS, signal: this.#over.signal };
    const producer = this.#producer ?? (await IdempotentProducer.open(client, retry));
    if (this.#over.signal.aborted) producer.close();
    else this.#producer = producer;
    try {
      await producer.send(records);
    } catch (error) {
      this.#producer = undefined;
      producer.close();
      throw error;
    }
  }

  /** From now on through the log: first the batch under way, then what waits behind it, then what comes. */
  #startSpooling(reason: string): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#closingTimer);
    this.#timer = undefined;
    this.#mode = 'spooling';
    this.#options.logger.warn({ reason }, 'events go to the spool');
    const flight = this.#flight;
    if (flight !== undefined) {
      flight.handedOver = true;
      this.#flight = undefined;
      const copies = flight.batch.map((waiting) => this.#spool(waiting));
      this.#drain.doubt({
        acked: flight.written.then(
          () => true,
          () => false,
        ),
        copied: Promise.all(copies).then((positions) => positions.at(-1)),
      });
    }
    for (const waiting of this.#waiting.splice(0)) void this.#spool(waiting);
    this.#drain.start();
  }

  /** Answers the caller once the disk has it. Undefined where the log did not take it. */
  async #spool({ record, resolve, reject }: Waiting): Promise<LogPosition | undefined> {
    try {
      const position = await this.#options.log.append(encodeSpooled(record, Date.now()));
      this.#spooled += 1;
      resolve();
      return position;
    } catch (error) {
      reject(error);
      return undefined;
    }
  }

  /** All that was sealed is in the topics. @returns whether the log is empty, and stays so. */
  #afterPass(): boolean {
    const { log, config, logger } = this.#options;
    if (log.isEmpty) {
      clearTimeout(this.#closingTimer);
      this.#mode = 'direct';
      logger.info(
        { drained: this.#drain.drained },
        'the spool is drained: events go to the brokers',
      );
      this.#send();
      return true;
    }
    if (this.#mode === 'spooling' && log.standing.records < CLOSING_RECORDS) {
      this.#mode = 'closing';
      const giveUp = () => this.#startSpooling('draining is too slow');
      this.#closingTimer = setTimeout(giveUp, config.patienceMs);
    }
    return false;
  }
}

function tooLarge(topic: TopicName, bytes: number, limit: number): ReachflowError {
  return new ReachflowError(`a record of ${bytes} bytes is too large for ${topic}: ${limit}`, {
    code: 'RECORD_TOO_LARGE',
    domain: 'user',
    hint: 'Send less, or raise maxMessageBytes of the topic in schemas/topics.ts.',
  });
}

function closed(): ReachflowError {
  return new ReachflowError('this publisher is closed', {
    code: 'PUBLISHER_CLOSED',
    domain: 'internal',
    retry: 'backoff',
  });
}
