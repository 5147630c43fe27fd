import type { Head } from '../head.ts';
import { Frontier, type FrontierState } from '../merkle/frontier.ts';
import type { Hash } from '../merkle/hash.ts';

/** What the records between two heads turned out to be. */
export interface Stretch {
  /** First offset. */
  readonly from: bigint;
  /** Exclusive: where the later head is. */
  readonly to: bigint;
  /**
   * - `proven`: exactly the records that were recorded;
   * - `altered`: other records, or another number of them;
   * - `head`: the head at its end is not what was recorded: those before and behind it fit together without it.
   */
  readonly state: 'proven' | 'altered' | 'head';
  /** Records that are there, and that were. */
  readonly found: number;
  readonly expected: number;
}

interface Candidate {
  readonly tree: Frontier;
  /** Index of the first stretch that it is about. */
  readonly since: number;
}

/**
 * Compares a tree that grows, leaf by leaf, with the heads that were recorded of it. Where one does not fit, the tree goes on
 * twice: as computed, and from the head. The next head says which of the two was altered, the records or the head.
 */
export class TreeCheck {
  readonly #heads: readonly Head[];
  readonly #stretches: Stretch[] = [];
  #candidates: readonly Candidate[];
  #next = 0;
  #from: bigint;
  #sizeBefore: number;
  #found = 0;

  /** @param heads of one tree, ascending, behind `from`. @param start the tree at `from`. */
  constructor(heads: readonly Head[], from: bigint, start: FrontierState) {
    this.#heads = heads;
    this.#from = from;
    this.#sizeBefore = start.size;
    this.#candidates = [{ tree: new Frontier(start), since: 0 }];
  }

  /** Offset of the next head; undefined behind the last. */
  get nextHead(): bigint | undefined {
    return this.#heads[this.#next]?.nextOffset;
  }

  /** A record that comes next. @param offset its own; heads up to it are compared before. */
  append(leaf: Hash, offset: bigint): void {
    this.reached(offset);
    this.#found += 1;
    for (const { tree } of this.#candidates) tree.append(leaf);
  }

  /** Every record before `offset` was appended. */
  reached(offset: bigint): void {
    for (;;) {
      const head = this.#heads[this.#next];
      if (head === undefined || head.nextOffset > offset) return;
      this.#compare(head);
      this.#next += 1;
    }
  }

  #compare(head: Head): void {
    const { size } = head.frontier;
    const fits = this.#candidates.find(
      ({ tree }) => tree.size === size && tree.root() === head.root,
    );
    const stretch = {
      from: this.#from,
      to: head.nextOffset,
      found: this.#found,
      expected: size - this.#sizeBefore,
    };
    if (fits === undefined) {
      this.#stretches.push({ ...stretch, state: 'altered' });
      const [first] = this.#candidates;
      const anew = { tree: new Frontier(head.frontier), since: this.#stretches.length };
      this.#candidates = first === undefined ? [anew] : [first, anew];
    } else {
      // Whoever fits has been right since it began: what did not fit meanwhile were heads.
      for (let i = fits.since; i < this.#stretches.length; i += 1) {
        const before = this.#stretches[i];
        if (before?.state === 'altered') this.#stretches[i] = { ...before, state: 'head' };
      }
      this.#stretches.push({ ...stretch, state: 'proven' });
      this.#candidates = [fits];
    }
    this.#from = head.nextOffset;
    this.#sizeBefore = size;
    this.#found = 0;
  }

  /** So far. */
  get stretches(): readonly Stretch[] {
    return this.#stretches;
  }

  /**
   * The tree as it goes on now: as computed as long as that fits, else from the last head.
   */
  get tree(): Frontier {
    return this.#candidates.at(-1)?.tree ?? new Frontier();
  }
}
