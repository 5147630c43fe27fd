/** Somebody who reads from a connection. */
export interface Reader {
  /** Called when too much is in flight, of whomever: read no more. */
  onFull(): void;
  /** Called when there is room again. */
  onRoom(): void;
}

export interface InFlightLimits {
  readonly messages: number;
  readonly bytes: number;
}

/** Part of the limits that has to be free before reading goes on: connections do not stop and go message by message. */
const ROOM = 0.25;

/**
 * Messages that were read and not answered, of all connections. When it is full, all of them stop at once: each of ten thousand
 * may have one more at hand.
 */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #readers = new Set<Reader>();
  #messages = 0;
  #bytes = 0;
  #isFull = false;

  constructor(limits: InFlightLimits) {
    this.#limits = limits;
  }

  get messages(): number {
    return this.#messages;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  join(reader: Reader): void {
    this.#readers.add(reader);
  }

  leave(reader: Reader): void {
    this.#readers.delete(reader);
  }

  /** Counts a message: also beyond the limits, since it was read. */
  add(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
    const { messages, bytes: mostBytes } = this.#limits;
    if (this.#isFull || (this.#messages < messages && this.#bytes < mostBytes)) return;
    this.#isFull = true;
    for (const reader of this.#readers) reader.onFull();
  }

  /** It is answered. */
  remove(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
    const { messages, bytes: mostBytes } = this.#limits;
    const hasRoom =
      this.#messages <= messages * (1 - ROOM) && this.#bytes <= mostBytes * (1 - ROOM);
    if (!this.#isFull || !hasRoom) return;
    this.#isFull = false;
    for (const reader of this.#readers) reader.onRoom();
  }
}
