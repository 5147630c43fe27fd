import { DLQ_AUDIT_TOPIC, retryOf } from '../../schemas/topics.ts';
import type { EpochBatches } from '../kafka/epoch-batches.ts';
import type { EpochProducer } from '../kafka/epoch-producer.ts';
import { type HeaderPatch, headerPatch } from '../kafka/lazy-record.ts';
import type { ReadLetter } from './letter.ts';
import { redriveHeaders } from './redrive-record.ts';
import { encodeEntry, type RunStarted, toRanges } from './resolutions.ts';

/** Letters of a transaction: so many that commits cost little, and that the audit of them stays far below 1 MB. */
export const TRANSACTION_LETTERS = 10_000;
/** Bytes of records that a transaction holds in memory; another is on its way meanwhile. */
const MAX_BYTES = 16 * 1_048_576;

/** Letters of one partition of a DLQ. */
interface DonePartition {
  readonly dlq: string;
  readonly partition: number;
  readonly offsets: bigint[];
  lastFailure: number;
}

/** What is sent in one transaction, and which letters it is of. Letters are copied as they are added. */
export class RedriveTransaction {
  readonly #batch: EpochBatches;
  readonly #run: Pick<RunStarted, 'run' | 'resolution'>;
  readonly #maxLetters: number;
  readonly #now = Date.now();
  /** By count of replays. */
  readonly #patches = new Map<number, HeaderPatch>();
  readonly #partitions = new Map<string, DonePartition>();
  #last: DonePartition | undefined;
  #retryTopic = '';
  #bytes = 0;
  #count = 0;

  /** @param maxLetters it is full with. */
  constructor(
    producer: EpochProducer,
    run: Pick<RunStarted, 'run' | 'resolution'>,
    maxLetters: number,
  ) {
    this.#batch = producer.begin();
    this.#run = run;
    this.#maxLetters = maxLetters;
  }

  /** Letters so far. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#maxLetters || this.#bytes >= MAX_BYTES;
  }

  /** @param value to send instead of the letter's, or that one. */
  add(letter: ReadLetter, value: Buffer | null): void {
    const done = this.#partitionOf(letter);
    done.offsets.push(letter.dlqOffset);
    done.lastFailure = Math.max(done.lastFailure, letter.lastFailure);
    this.#count += 1;
    if (this.#run.resolution !== 'redriven') return;
    const { record, dlqPartition } = letter;
    const headers = record.patchedHeaders(this.#patchOf(letter.replayCount));
    // A letter is in the partition of its record, and so is what comes back.
    this.#batch.append(this.#retryTopic, dlqPartition, record.key, value, this.#now, headers);
    this.#bytes += headers.length + (value?.length ?? 0);
  }

  /** What to commit, with the marks of the letters. */
  close(): EpochBatches {
    const { run, resolution } = this.#run;
    for (const { dlq, partition, offsets, lastFailure } of this.#partitions.values()) {
      const ranges = toRanges(offsets);
      // A worker's clock may be ahead of ours; see Resolutions.of.
      const at = Math.max(this.#now, lastFailure);
      const entry = { kind: 'resolved', run, resolution, dlq, partition, ranges, at } as const;
      this.#batch.append(DLQ_AUDIT_TOPIC, 0, run, encodeEntry(entry), this.#now);
    }
    return this.#batch;
  }

  #partitionOf(letter: ReadLetter): DonePartition {
    const { dlq, dlqPartition: partition } = letter;
    if (this.#last?.dlq === dlq && this.#last.partition === partition) return this.#last;
    const name = `${dlq}/${partition}`;
    const known = this.#partitions.get(name) ?? { dlq, partition, offsets: [], lastFailure: 0 };
    this.#partitions.set(name, known);
    this.#last = known;
    this.#retryTopic = retryOf(letter.text('topic'), letter.text('consumer'));
    return known;
  }

  #patchOf(replayCount: number): HeaderPatch {
    const known = this.#patches.get(replayCount);
    if (known !== undefined) return known;
    const { run } = this.#run;
    const patch = headerPatch(redriveHeaders(run, this.#now, replayCount));
    this.#patches.set(replayCount, patch);
    return patch;
  }
}
