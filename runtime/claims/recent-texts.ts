/** The texts that were used last, up to some bytes. */
export class RecentTexts {
  readonly #maxBytes: number;
  /** In the order of their use, the oldest first. */
  readonly #texts = new Map<string, { readonly text: string; readonly bytes: number }>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of what is held. */
  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): string | undefined {
    const found = this.#texts.get(key);
    if (found === undefined) return undefined;
    this.#texts.delete(key);
    this.#texts.set(key, found);
    return found.text;
  }

  /** Holds a text in the place of the oldest. One that is larger than all is not held. */
  add(key: string, text: string, bytes: number): void {
    if (bytes > this.#maxBytes || this.#texts.has(key)) return;
    this.#texts.set(key, { text, bytes });
    this.#bytes += bytes;
    for (const [oldest, { bytes: size }] of this.#texts) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#texts.delete(oldest);
      this.#bytes -= size;
    }
  }
}
