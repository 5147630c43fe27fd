/**
 * Adds up what numbers are worth, of at most so many different ones. Cleared in no time, and without a thing to collect: it is
 * done for each record, of up to 1,400 numbers.
 */
export class Tally {
  readonly #mask: number;
  readonly #numbers: Uint32Array;
  readonly #sums: Uint16Array;
  /** In which round a slot was taken: others are empty. */
  readonly #rounds: Uint32Array;
  readonly #taken: Uint32Array;
  #count = 0;
  #round = 1;

  /** @param most different numbers of one round. */
  constructor(most: number) {
    const slots = 2 ** Math.ceil(Math.log2(2 * most));
    this.#mask = slots - 1;
    this.#numbers = new Uint32Array(slots);
    this.#sums = new Uint16Array(slots);
    this.#rounds = new Uint32Array(slots);
    this.#taken = new Uint32Array(slots);
  }

  clear(): void {
    this.#count = 0;
    this.#round = (this.#round + 1) >>> 0;
    if (this.#round !== 0) return;
    // What was taken 2^32 rounds ago would count as taken now.
    this.#rounds.fill(0);
    this.#round = 1;
  }

  /** @throws RangeError for more different numbers than it was made for. */
  add(number: number, worth: number): void {
    let at = Math.imul(number, 0x9e3779b1) & this.#mask;
    while (this.#rounds[at] === this.#round) {
      if (this.#numbers[at] === number) {
        this.#sums[at] = (this.#sums[at] ?? 0) + worth;
        return;
      }
      at = (at + 1) & this.#mask;
    }
    if (2 * this.#count > this.#mask) throw new RangeError('more numbers than it was made for');
    this.#rounds[at] = this.#round;
    this.#numbers[at] = number;
    this.#sums[at] = worth;
    this.#taken[this.#count] = at;
    this.#count += 1;
  }

  /** The numbers that are worth at least so much together, in the order in which they were first added. */
  reaching(least: number): number[] {
    const found: number[] = [];
    for (let index = 0; index < this.#count; index += 1) {
      const at = this.#taken[index] ?? 0;
      if ((this.#sums[at] ?? 0) >= least) found.push(this.#numbers[at] ?? 0);
    }
    return found;
  }
}
