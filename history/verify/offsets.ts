import type { BatchSpan } from '../../runtime/kafka/record-batch-decoder.ts';

/** Offsets without a committed record, by why that is. */
export interface OffsetAccount {
  /** Ends of transactions. */
  readonly markers: number;
  /** Records of transactions that were aborted. */
  readonly aborted: number;
  /** Removed within a batch that remembers them: only compaction does that. */
  readonly compacted: number;
  /** Offsets that no batch has: compaction removes whole batches, too; nothing else does. */
  readonly missing: number;
  /** The first of those that no batch has. */
  readonly holes: readonly OffsetRange[];
}

/** `to` is exclusive. */
export interface OffsetRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** Holes that are listed. */
const MAX_HOLES = 20;

/** Accounts for every offset of a stretch, batch by batch. */
export class OffsetCounter {
  #next: number;
  readonly #from: number;
  readonly #to: number;
  #markers = 0;
  #aborted = 0;
  #compacted = 0;
  #missing = 0;
  readonly #holes: OffsetRange[] = [];

  constructor(from: bigint, to: bigint) {
    this.#from = Number(from);
    this.#to = Number(to);
    this.#next = this.#from;
  }

  add(spans: readonly BatchSpan[]): void {
    for (const { kind, first, last, count } of spans) {
      if (last < this.#from || first >= this.#to) continue;
      this.#hole(Math.min(first, this.#to));
      this.#next = Math.max(this.#next, last + 1);
      const [inFrom, inTo] = [Math.max(first, this.#from), Math.min(last + 1, this.#to)];
      if (kind === 'marker') this.#markers += inTo - inFrom;
      else if (kind === 'aborted') this.#aborted += inTo - inFrom;
      // Of a batch that lies on the edge nobody can tell on which side the removed ones were.
      else if (inTo - inFrom === last + 1 - first) this.#compacted += inTo - inFrom - count;
    }
  }

  #hole(upTo: number): void {
    if (upTo <= this.#next) return;
    this.#missing += upTo - this.#next;
    if (this.#holes.length < MAX_HOLES)
      this.#holes.push({ from: BigInt(this.#next), to: BigInt(upTo) });
    this.#next = upTo;
  }

  /** @param end everything before it was added. */
  account(end: bigint): OffsetAccount {
    this.#hole(Math.min(Number(end), this.#to));
    const [markers, aborted, compacted] = [this.#markers, this.#aborted, this.#compacted];
    return { markers, aborted, compacted, missing: this.#missing, holes: [...this.#holes] };
  }
}
