import { BITS, BLOCK_BITS, blockOf, nextBits, spread } from './key-filter.ts';

const WORD_BITS = 32;
/** Lanes of a sheet at first, and at most: as many as a number has bits. */
const FEW_LANES = 8;
const MOST_LANES = 32;
const NONE: readonly Lane[] = [];

/** The place of one filter among those that lie side by side. */
export interface Lane {
  /** False only for keys that the filter does not have. */
  mayHave(hash: number): boolean;
  /** Takes the filter out, once. */
  release(): void;
}

/**
 * Filters of many runs, side by side: of each bit, in one number, which of them have it (as the bit-sliced signatures of
 * BitFunnel, Goodwin et al. 2017). One look is at `BITS` numbers for 32 runs, where each run's filter for itself would be a cache
 * miss and some mispredicted branches. Only filters of one length go together.
 */
export class FilterLanes {
  #sheets: readonly Sheet[] = [];

  /** @param words of a `FilterLayer`. */
  add(words: Uint32Array): Lane {
    let sheet = this.#sheets.find((each) => each.words === words.length && !each.isFull);
    if (sheet === undefined) {
      sheet = new Sheet(words.length);
      this.#sheets = [...this.#sheets, sheet];
    }
    return sheet.add(words, (emptied) => {
      this.#sheets = this.#sheets.filter((each) => each !== emptied);
    });
  }

  /** The filters that may have a key; of those that do not have it 1 in 1,000 is among them. */
  find(hash: number): readonly Lane[] {
    let found: Lane[] | undefined;
    for (const sheet of this.#sheets) {
      const mask = sheet.look(hash);
      if (mask === 0) continue;
      found ??= [];
      sheet.lanesOf(mask, found);
    }
    return found ?? NONE;
  }
}

/** Up to 32 filters of one length. */
class Sheet {
  /** Length of its filters. */
  readonly words: number;
  readonly #blocks: number;
  readonly #lanes: (Lane | undefined)[] = [];
  /** Of each bit of a filter, which lanes have it. */
  #rows: Uint8Array | Uint32Array;

  constructor(words: number) {
    this.words = words;
    this.#blocks = (words * WORD_BITS) / BLOCK_BITS;
    this.#rows = new Uint8Array(words * WORD_BITS);
  }

  get isFull(): boolean {
    return this.#freeLane() === MOST_LANES;
  }

  #freeLane(): number {
    const free = this.#lanes.indexOf(undefined);
    return free < 0 ? this.#lanes.length : free;
  }

  add(words: Uint32Array, onEmptied: (sheet: Sheet) => void): Lane {
    const number = this.#freeLane();
    if (number >= FEW_LANES && this.#rows instanceof Uint8Array)
      this.#rows = new Uint32Array(this.#rows);
    const bit = 1 << number;
    this.#set(words, bit);
    const lane = {
      mayHave: (hash: number) => (this.look(hash) & bit) !== 0,
      release: () => {
        if (this.#lanes[number] !== lane) return;
        this.#lanes[number] = undefined;
        if (this.#lanes.every((each) => each === undefined)) onEmptied(this);
        else this.#clear(bit);
      },
    };
    this.#lanes[number] = lane;
    return lane;
  }

  #set(words: Uint32Array, bit: number): void {
    const rows = this.#rows;
    for (let index = 0; index < words.length; index += 1) {
      for (let left = words[index] as number; left !== 0; left &= left - 1) {
        const row = index * WORD_BITS + (WORD_BITS - 1 - Math.clz32(left & -left));
        rows[row] = (rows[row] as number) | bit;
      }
    }
  }

  #clear(bit: number): void {
    const rows = this.#rows;
    for (let row = 0; row < rows.length; row += 1) rows[row] = (rows[row] as number) & ~bit;
  }

  /** A bit for each lane that may have a key. */
  look(hash: number): number {
    const rows = this.#rows;
    const block = blockOf(hash, this.#blocks) * BLOCK_BITS;
    let bits = spread(hash);
    let lanes = -1;
    // Without a branch between them: the reads do not wait for each other.
    for (let bit = 0; bit < BITS; bit += 1) {
      lanes &= rows[block + (bits & (BLOCK_BITS - 1))] as number;
      bits = nextBits(bits);
    }
    return lanes;
  }

  lanesOf(mask: number, into: Lane[]): void {
    for (let left = mask; left !== 0; left &= left - 1) {
      const lane = this.#lanes[WORD_BITS - 1 - Math.clz32(left & -left)];
      if (lane !== undefined) into.push(lane);
    }
  }
}
