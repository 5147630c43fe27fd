/** Somebody who stops reading and goes on. */
export interface Pausable {
  /** Called once for each wait, when there is room again. */
  onRoom(): void;
}

export interface InFlightLimits {
  readonly messages: number;
  readonly bytes: number;
}

/** Messages that were read and not answered, of all connections. Who finds it full waits to be called. */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #waiting = new Set<Pausable>();
  #messages = 0;
  #bytes = 0;

  constructor(limits: InFlightLimits) {
    this.#limits = limits;
  }

  get messages(): number {
    return this.#messages;
  }

  get isFull(): boolean {
    return this.#messages >= this.#limits.messages || this.#bytes >= this.#limits.bytes;
  }

  /** Counts a message: also beyond the limits, since it was read. */
  enter(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
  }

  leave(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
    // Some room at once, so that connections do not stop and go message by message.
    const { messages, bytes: mostBytes } = this.#limits;
    if (this.#waiting.size === 0) return;
    if (this.#messages > messages * 0.75 || this.#bytes > mostBytes * 0.75) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const each of waiting) each.onRoom();
  }

  wait(of: Pausable): void {
    this.#waiting.add(of);
  }

  forget(of: Pausable): void {
    this.#waiting.delete(of);
  }
}
