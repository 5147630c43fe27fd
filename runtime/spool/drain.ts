import type { KafkaClient } from '../kafka/client.ts';
import type { EpochBatches } from '../kafka/epoch-batches.ts';
import { PositionedProducer } from '../kafka/positioned-producer.ts';
import { decodeSpooled } from './record.ts';
import type { StoredRecord } from './segment-format.ts';
import type { LogPosition, SealedSegment, SegmentLog } from './segment-log.ts';

export interface DrainOptions {
  readonly client: KafkaClient;
  readonly log: SegmentLog;
  /** An existing topic, under whose partition 0 the group of this log commits its position. Logical name. */
  readonly topic: string;
}

/** Most bytes and records of one transaction. */
const MAX_EPOCH_BYTES = 4_194_304;
const MAX_EPOCH_RECORDS = 5_000;

/**
 * Moves what is in a log to the topics, exactly once: each transaction has the position behind its records, as the
 * offset of a group of the log's own. Opening it fences whoever drained this log before, and only then reads how far
 * that one came. One `drain` at a time; after one that failed, only `close`.
 */
export class Drain {
  readonly #options: DrainOptions;
  readonly #producer: PositionedProducer;
  readonly #prepared = new Set<string>();
  #drained = 0;

  private constructor(options: DrainOptions, producer: PositionedProducer) {
    this.#options = options;
    this.#producer = producer;
  }

  /** Trims what was drained before. @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff). */
  static async open(options: DrainOptions): Promise<Drain> {
    const { client, log, topic } = options;
    const producer = await PositionedProducer.open(client, { name: `spool.${log.id}`, topic });
    const { start } = producer;
    try {
      if (start !== undefined)
        await log.trim({ segment: start.metadata, index: Number(start.next) });
      return new Drain(options, producer);
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  /** Records written to their topics so far. */
  get drained(): number {
    return this.#drained;
  }

  /** Notes durably that what lies before a position is in the topics already. @throws as `drain`. */
  async skipTo(position: LogPosition): Promise<void> {
    await this.#commit(this.#producer.begin(), position);
  }

  /**
   * Writes all records of the segments that are sealed by now, and trims them.
   * @param isOver asked before each transaction.
   * @throws ReachflowError as `EpochProducer.commit` and `SegmentLog.read`, `SPOOL_VERSION`.
   */
  async drain(isOver: () => boolean): Promise<void> {
    const { log } = this.#options;
    for (const segment of [...log.segments]) {
      const skipped = log.trimmedOf(segment);
      const { records } = await log.read(segment);
      const left = records.filter(({ index }) => index >= skipped);
      if (!(await this.#drainSegment(segment, left, isOver))) return;
    }
  }

  /** Aborts what is open. */
  async close(): Promise<void> {
    await this.#producer.close();
  }

  /** While a transaction commits, the next one is encoded. */
  async #drainSegment(
    { id, endIndex }: SealedSegment,
    records: readonly StoredRecord[],
    isOver: () => boolean,
  ): Promise<boolean> {
    let committing: Promise<void> = Promise.resolve();
    for (let from = 0; from < records.length; ) {
      if (isOver()) break;
      const batches = this.#producer.begin();
      const to = await this.#fill(batches, records, from).catch(async (error: unknown) => {
        await committing.catch(() => undefined);
        throw error;
      });
      await committing;
      const index = to === records.length ? endIndex : (records[to]?.index ?? endIndex);
      committing = this.#commit(batches, { segment: id, index });
      // Awaited in the next round, or below.
      committing.catch(() => undefined);
      from = to;
    }
    await committing;
    if (isOver()) return false;
    await this.#options.log.trim({ segment: id, index: endIndex });
    return true;
  }

  /** @returns the index in `records` behind the last that was taken. */
  async #fill(
    batches: EpochBatches,
    records: readonly StoredRecord[],
    from: number,
  ): Promise<number> {
    const end = Math.min(records.length, from + MAX_EPOCH_RECORDS);
    let bytes = 0;
    let at = from;
    while (at < end && bytes < MAX_EPOCH_BYTES) {
      const payload = records[at]?.payload;
      at += 1;
      if (payload === undefined) continue;
      const { topic, key, value, timestamp, headers } = decodeSpooled(payload);
      if (!this.#prepared.has(topic)) await this.#prepare(topic);
      const partition = this.#producer.partitionFor(topic, key);
      batches.append(topic, partition, key, value, timestamp, headers);
      bytes += payload.length;
    }
    return at;
  }

  async #prepare(topic: string): Promise<void> {
    await this.#producer.prepare([topic]);
    this.#prepared.add(topic);
  }

  async #commit(batches: EpochBatches, { segment, index }: LogPosition): Promise<void> {
    const { count } = batches;
    await this.#producer.commit(batches, { next: BigInt(index), metadata: segment });
    this.#drained += count;
    await this.#options.log.trim({ segment, index });
  }
}
