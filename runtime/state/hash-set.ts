const FIRST_SLOTS = 1_024;
/** Marks a free slot: the hash 0 is kept as 1. */
const FREE = 0;

/**
 * Hashes of the keys of a segment that is written to, in a table that is half full at most, 8 to 16 bytes each. A Bloom
 * filter would be smaller, but could not grow without the keys.
 */
export class HashSet {
  #slots = new Uint32Array(FIRST_SLOTS);
  #size = 0;

  /** @param hash of `hashOf`, whose bits are all alike. */
  add(hash: number): void {
    if (!insert(this.#slots, hash)) return;
    this.#size += 1;
    if (2 * this.#size > this.#slots.length) this.#grow();
  }

  has(hash: number): boolean {
    const slots = this.#slots;
    const wanted = hash === FREE ? 1 : hash;
    const mask = slots.length - 1;
    // It ends: half of the slots are free.
    for (let at = wanted & mask; slots[at] !== FREE; at = (at + 1) & mask)
      if (slots[at] === wanted) return true;
    return false;
  }

  #grow(): void {
    const larger = new Uint32Array(2 * this.#slots.length);
    for (const hash of this.#slots) if (hash !== FREE) insert(larger, hash);
    this.#slots = larger;
  }
}

/** Whether it was not there. */
function insert(slots: Uint32Array, hash: number): boolean {
  const added = hash === FREE ? 1 : hash;
  const mask = slots.length - 1;
  let at = added & mask;
  for (; slots[at] !== FREE; at = (at + 1) & mask) if (slots[at] === added) return false;
  slots[at] = added;
  return true;
}
