import type { ValueWriter } from '../../schemas/codec.ts';
import { ReachflowError } from '../errors.ts';
import { recordTooLarge } from '../kafka/epoch-batches.ts';
import type { EpochOffset } from '../kafka/epoch-producer.ts';
import { partitionOfKey } from '../kafka/murmur2.ts';
import type { OutgoingRecord } from '../kafka/record.ts';
import type { TaskCommit, TaskEpoch, TaskProducer } from '../task/ports.ts';
import { type CrashHook, type MemoryLog, SimulatedCrash } from './memory-log.ts';

class MemoryEpoch implements TaskEpoch {
  readonly records: OutgoingRecord[] = [];
  bytes = 0;
  readonly #limits: ReadonlyMap<string, number>;

  constructor(limits: ReadonlyMap<string, number>) {
    this.#limits = limits;
  }

  get count(): number {
    return this.records.length;
  }

  append(
    topic: string,
    partition: number,
    key: Buffer | string | null,
    value: Buffer | null,
    timestamp: number,
    headers: Readonly<Record<string, string | Buffer>> = {},
  ): void {
    // The wire format has no room for others: a task that tries finds out here as in production.
    if (!Number.isSafeInteger(timestamp)) throw new RangeError(`timestamp ${timestamp}`);
    const bytes = 24 + (key?.length ?? 0) + (value?.length ?? 0);
    const limit = this.#limits.get(topic) ?? Number.POSITIVE_INFINITY;
    if (bytes > limit) throw recordTooLarge(topic, bytes, limit);
    this.records.push({ topic, partition, key, value, timestamp, headers });
    this.bytes += bytes;
  }

  appendWith(
    topic: string,
    partition: number,
    key: Buffer | string | null,
    timestamp: number,
    headers: Readonly<Record<string, string | Buffer>> | undefined,
    writer: ValueWriter,
    value: unknown,
  ): void {
    let buffer = Buffer.alloc(1_024);
    let end = writer.encode(value, buffer, 0);
    while (end < 0 || end > buffer.length) {
      buffer = Buffer.alloc(buffer.length * 4);
      end = writer.encode(value, buffer, 0);
    }
    this.append(topic, partition, key, Buffer.from(buffer.subarray(0, end)), timestamp, headers);
  }

  release(): void {
    this.records.length = 0;
    this.bytes = 0;
  }
}

/** `EpochProducer` over a log in memory, with the same contract. */
export class MemoryProducer implements TaskProducer {
  readonly #log: MemoryLog;
  readonly #id: string;
  readonly #epoch: number;
  readonly #hook: CrashHook;
  readonly #limits: ReadonlyMap<string, number>;
  #failed: unknown;

  private constructor(
    log: MemoryLog,
    id: string,
    epoch: number,
    hook: CrashHook,
    limits: ReadonlyMap<string, number>,
  ) {
    this.#log = log;
    this.#limits = limits;
    this.#id = id;
    this.#epoch = epoch;
    this.#hook = hook;
  }

  /** Fences earlier owners of the id. Read committed positions only after it. */
  static async open(
    log: MemoryLog,
    id: string,
    hook: CrashHook = () => undefined,
    limits: ReadonlyMap<string, number> = new Map(),
  ): Promise<MemoryProducer> {
    await hook('before-open', id);
    const epoch = log.initProducer(id);
    await hook('after-open', id);
    return new MemoryProducer(log, id, epoch, hook, limits);
  }

  partitionCount(topic: string): number {
    return this.#log.partitionCount(topic);
  }

  partitionFor(topic: string, key: string): number {
    return partitionOfKey(key, this.#log.partitionCount(topic));
  }

  begin(): MemoryEpoch {
    return new MemoryEpoch(this.#limits);
  }

  async commit(epoch: TaskEpoch, offsets: readonly EpochOffset[]): Promise<TaskCommit> {
    if (this.#failed !== undefined) throw this.#failed;
    if (!(epoch instanceof MemoryEpoch)) throw new Error('an epoch of another producer');
    try {
      return await this.#commit(epoch, offsets);
    } catch (error) {
      this.#failed = error;
      // A process that crashed aborts nothing; one that only failed does, if it still may.
      if (!(error instanceof SimulatedCrash)) this.#abort();
      throw error;
    }
  }

  async #commit(epoch: MemoryEpoch, offsets: readonly EpochOffset[]): Promise<TaskCommit> {
    const log = this.#log;
    const next = new Map<string, bigint>();
    await this.#hook('before-commit', this.#id);
    if (epoch.count > 0) {
      const transaction = log.transaction(this.#id, this.#epoch);
      for (const { topic, partition = 0, ...record } of epoch.records) {
        const offset = log.append(topic, partition, record, transaction);
        next.set(`${topic}/${partition}`, offset + 1n);
      }
    }
    await this.#hook('in-commit', this.#id);
    if (offsets.length > 0) log.addOffsets(this.#id, this.#epoch, offsets);
    await this.#hook('before-end', this.#id);
    if (epoch.count > 0 || offsets.length > 0)
      log.endTransaction(this.#id, this.#epoch, 'committed');
    await this.#hook('after-end', this.#id);
    epoch.release();
    return { nextOffset: (topic, partition) => next.get(`${topic}/${partition}`) };
  }

  #abort(): void {
    try {
      this.#log.endTransaction(this.#id, this.#epoch, 'aborted');
    } catch (error) {
      // Another owner took over, and its InitProducerId aborted it.
      if (!(error instanceof ReachflowError) || error.code !== 'FENCED') throw error;
    }
  }

  /** Aborts what is open. */
  close(): Promise<void> {
    if (!(this.#failed instanceof SimulatedCrash)) this.#abort();
    this.#failed ??= new Error('this producer is closed');
    return Promise.resolve();
  }
}
