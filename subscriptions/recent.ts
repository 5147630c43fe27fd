import type { SubscribedEvent } from './event.ts';

/** Beside its document, bytes. */
const EVENT_BYTES = 200;

/** The newest events of a topic, in the order of the shared reader, bounded by bytes. Each has a number, ascending by one. */
export class RecentEvents {
  readonly #maxBytes: number;
  #events: SubscribedEvent[] = [];
  /** Events at the front of the array that are dropped already. */
  #dropped = 0;
  #first = 0;
  #bytes = 0;
  /** Next offset of each partition before the first event that is still here. */
  readonly #start: number[];

  constructor(maxBytes: number, start: readonly number[]) {
    this.#maxBytes = maxBytes;
    this.#start = [...start];
  }

  /** Number of the oldest event; that of the next one when there is none. */
  get first(): number {
    return this.#first;
  }

  /** Number of the next event. */
  get end(): number {
    return this.#first + this.#events.length - this.#dropped;
  }

  /** Next offset of each partition before the oldest event. */
  get start(): readonly number[] {
    return this.#start;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws RangeError when it is not here (any more). */
  at(number: number): SubscribedEvent {
    const event = this.#events[number - this.#first + this.#dropped];
    if (event === undefined || number < this.#first) throw new RangeError(`event ${number}`);
    return event;
  }

  add(event: SubscribedEvent): void {
    this.#events.push(event);
    this.#bytes += event.json.length + EVENT_BYTES;
    while (this.#bytes > this.#maxBytes && this.end - this.#first > 1) this.#drop();
  }

  #drop(): void {
    const event = this.at(this.#first);
    this.#bytes -= event.json.length + EVENT_BYTES;
    this.#start[event.partition] = event.offset + 1;
    this.#first += 1;
    this.#dropped += 1;
    // Now and then, so that a drop costs nothing; half of the array at most is of events that are gone.
    if (this.#dropped * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#dropped);
      this.#dropped = 0;
    }
  }
}
