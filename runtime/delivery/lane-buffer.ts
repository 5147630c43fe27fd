import type { KafkaRecord } from '../kafka/record.ts';
import type { SinkLimits } from './sink.ts';

/** A record that costs more than its bytes: objects, headers, decoded fields. */
const RECORD_OVERHEAD = 200;

/**
 * Batches that wait before a lane stops fetching, and below which it fetches again. A resumed partition is in the fetch
 * after the one that is under way, and that one may wait for `delivery.maxWaitMs` when all others of its broker are
 * paused or at their end: what still waits has to last as long, or the store has nothing to do.
 */
const FULL_BATCHES = 6;
const LOW_BATCHES = 4;

/** What a record takes in memory, roughly, in bytes. */
export function weightOf({ key, value }: KafkaRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + RECORD_OVERHEAD;
}

/** The bytes that all lanes of a sink may hold together. Lanes that had to stop fetching are told when there is room. */
export class BufferBudget {
  readonly #limit: number;
  readonly #waiting = new Set<() => void>();
  #used = 0;

  /** @param limit bytes. One fetch may exceed it. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  get exhausted(): boolean {
    return this.#used >= this.#limit;
  }

  take(bytes: number): void {
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
    if (this.#waiting.size === 0 || this.#used > this.#limit / 2) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Calls `wake` once when half of the budget is free. */
  whenFree(wake: () => void): void {
    this.#waiting.add(wake);
  }
}

/** Records cut off a buffer's beginning, and the offsets that they stand for. */
export interface Cut {
  readonly records: readonly KafkaRecord[];
  readonly bytes: number;
  readonly start: bigint;
  readonly end: bigint;
}

interface Segment {
  readonly records: readonly KafkaRecord[];
  /** Index of the first that is not cut off yet. */
  from: number;
  /** ms since the epoch. */
  readonly at: number;
}

/** What a lane has read and not written: batches are cut off its beginning. */
export class LaneBuffer {
  readonly #limits: SinkLimits;
  readonly #segments: Segment[] = [];
  #start: bigint;
  #next: bigint;
  #records = 0;
  #bytes = 0;

  /**
   * @param start where the range before ended.
   * @param from where reading begins, at or after `start`.
   */
  constructor(limits: SinkLimits, start: bigint, from = start) {
    this.#limits = limits;
    this.#start = start;
    this.#next = from;
  }

  /** Where the next cut starts. */
  get start(): bigint {
    return this.#start;
  }

  /** The next offset to read. */
  get next(): bigint {
    return this.#next;
  }

  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Enough waits: reading on would only fill memory. */
  get full(): boolean {
    const { records, bytes } = this.#limits;
    return this.#records >= FULL_BATCHES * records || this.#bytes >= FULL_BATCHES * bytes;
  }

  /** Time to read on. */
  get low(): boolean {
    const { records, bytes } = this.#limits;
    return this.#records < LOW_BATCHES * records && this.#bytes < LOW_BATCHES * bytes;
  }

  /**
   * Takes what was read from `from` on; what it has already is left out.
   * @param next where reading goes on.
   * @returns bytes taken, or undefined when there is a gap before `from`: nothing was taken, and reading has to go back
   *   to `next`.
   */
  push(
    records: readonly KafkaRecord[],
    from: bigint,
    next: bigint,
    now: number,
  ): number | undefined {
    if (from > this.#next) return undefined;
    const fresh = records.filter(({ offset }) => offset >= this.#next);
    if (next > this.#next) this.#next = next;
    if (fresh.length === 0) return 0;
    const bytes = fresh.reduce((sum, record) => sum + weightOf(record), 0);
    this.#segments.push({ records: fresh, from: 0, at: now });
    this.#records += fresh.length;
    this.#bytes += bytes;
    return bytes;
  }

  /** When a batch may be cut, ms since the epoch; undefined while there is nothing to write. */
  readyAt(): number | undefined {
    const [first] = this.#segments;
    if (first === undefined) return undefined;
    const { records, bytes, lingerMs } = this.#limits;
    const isFull = this.#records >= records || this.#bytes >= bytes;
    return isFull ? first.at : first.at + lingerMs;
  }

  /** Cuts a batch as large as the limits allow; undefined when there is nothing. */
  cut(): Cut | undefined {
    if (this.#records === 0) return undefined;
    const { records: most, bytes: limit } = this.#limits;
    return this.#take((taken, bytes, record) => {
      return taken >= most || (taken > 0 && bytes + weightOf(record) > limit);
    });
  }

  /** Cuts all up to `end`, however much it is; undefined until that is read. */
  cutTo(end: bigint): Cut | undefined {
    if (this.#next < end) return undefined;
    const cut = this.#take((_taken, _bytes, { offset }) => offset >= end);
    this.#start = end;
    return { ...cut, end };
  }

  /** What lies before `next` and was not read is gone. */
  passTo(next: bigint): void {
    if (next > this.#next) this.#next = next;
  }

  /** Nothing to write, but offsets that hold no record: the position may move over them. */
  skip(): bigint {
    if (this.#records === 0) this.#start = this.#next;
    return this.#start;
  }

  #take(stop: (taken: number, bytes: number, record: KafkaRecord) => boolean): Cut {
    const records: KafkaRecord[] = [];
    const start = this.#start;
    let bytes = 0;
    taking: for (
      let [segment] = this.#segments;
      segment !== undefined;
      [segment] = this.#segments
    ) {
      while (segment.from < segment.records.length) {
        const record = segment.records[segment.from];
        if (record === undefined || stop(records.length, bytes, record)) break taking;
        records.push(record);
        bytes += weightOf(record);
        segment.from += 1;
      }
      this.#segments.shift();
    }
    this.#records -= records.length;
    this.#bytes -= bytes;
    const last = records.at(-1);
    if (this.#records === 0) this.#start = this.#next;
    else if (last !== undefined) this.#start = last.offset + 1n;
    return { records, bytes, start, end: this.#start };
  }
}
