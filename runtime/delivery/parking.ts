import type { KafkaRecord } from '../kafka/record.ts';
import { weightOf } from './lane-buffer.ts';
import type { WaitingRecord } from './retry-record.ts';

export interface ParkingLimits {
  /** Entries from the lowest outstanding one on, at most, before the main lane has to wait. */
  readonly records: number;
  /** Their bytes, likewise. */
  readonly bytes: number;
}

/** A record in the retry topic that is not resolved. */
export interface Entry extends WaitingRecord {
  readonly key: string;
}

interface Kept {
  entry: Entry;
  readonly bytes: number;
  isResolved: boolean;
}

interface ParkedKey {
  /** Offsets in their own topic of records that were sent to the retry topic and not read there yet. */
  readonly sent: Set<bigint>;
  /** In the order of the retry topic; the first one is tried. */
  readonly waiting: Kept[];
  /** Their offsets in their own topic. */
  readonly origins: Set<bigint>;
}

/** Keys are compared by their bytes. A record without one waits for itself only. */
export function parkingKey({ key, offset }: Pick<KafkaRecord, 'key' | 'offset'>): string {
  return key === null ? `@${offset}` : `=${key.toString('latin1')}`;
}

/**
 * The keys of one partition with a record in the retry topic: later records of such a key have to go there, too, until
 * all before them are resolved. It holds what lies between the retry topic's committed offset and its end, so
 * that it can be rebuilt from there.
 */
export class Parking {
  readonly #limits: ParkingLimits;
  readonly #keys = new Map<string, ParkedKey>();
  /** All entries from the lowest outstanding one on, by their offset in the retry topic. */
  readonly #window: Kept[] = [];
  #bytes = 0;
  #sent = 0;
  /** Next offset to read of the retry topic. */
  #next: bigint;

  /** @param next where reading of the retry topic begins. */
  constructor(limits: ParkingLimits, next: bigint) {
    this.#limits = limits;
    this.#next = next;
  }

  /** Next offset to read of the retry topic. */
  get next(): bigint {
    return this.#next;
  }

  /** Keys that wait. */
  get keys(): number {
    return this.#keys.size;
  }

  /** Records that wait. */
  get records(): number {
    return this.#window.filter(({ isResolved }) => !isResolved).length + this.#sent;
  }

  /** No record may be sent here any more until some are resolved. */
  get full(): boolean {
    const { records, bytes } = this.#limits;
    return this.#window.length + this.#sent >= records || this.#bytes >= bytes;
  }

  /** Must a record of this key wait? */
  holds(key: string): boolean {
    return this.#keys.has(key);
  }

  /** From now on the key is parked: a record of it is on its way to the retry topic. @param origin its own offset. */
  send(key: string, origin: bigint): void {
    const parked = this.#parked(key);
    if (parked.sent.has(origin)) return;
    parked.sent.add(origin);
    this.#sent += 1;
  }

  /** What was read of the retry topic, in order. @param next where reading goes on. */
  read(records: readonly WaitingRecord[], next: bigint): void {
    for (const waiting of records) if (waiting.offset >= this.#next) this.#add(waiting);
    if (next > this.#next) this.#next = next;
  }

  #add(waiting: WaitingRecord): void {
    const key = parkingKey(waiting.record);
    const parked = this.#parked(key);
    const origin = waiting.record.offset;
    if (parked.sent.delete(origin)) this.#sent -= 1;
    // Sent twice, when a crash came between the first and the position.
    const isKnown = parked.origins.has(origin);
    const bytes = weightOf(waiting.record);
    const kept: Kept = { entry: { ...waiting, key }, bytes, isResolved: isKnown };
    this.#window.push(kept);
    this.#bytes += bytes;
    if (isKnown) {
      this.#forget();
    } else {
      parked.waiting.push(kept);
      parked.origins.add(origin);
    }
  }

  #parked(key: string): ParkedKey {
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    const parked: ParkedKey = { sent: new Set(), waiting: [], origins: new Set() };
    this.#keys.set(key, parked);
    return parked;
  }

  /** The first record of each key that is due, oldest due first, at most `most`. */
  due(now: number, most: number): Entry[] {
    const heads: Entry[] = [];
    for (const { waiting } of this.#keys.values()) {
      const entry = waiting[0]?.entry;
      if (entry !== undefined && entry.due <= now) heads.push(entry);
    }
    return heads.toSorted((a, b) => a.due - b.due).slice(0, most);
  }

  /** When the next record is due, ms since the epoch; undefined when none waits. */
  dueAt(): number | undefined {
    let earliest: number | undefined;
    for (const { waiting } of this.#keys.values()) {
      const due = waiting[0]?.entry.due;
      if (due !== undefined && (earliest === undefined || due < earliest)) earliest = due;
    }
    return earliest;
  }

  /** Delivered or dead-lettered: the next record of its key comes. @param entry the first of its key. */
  resolve({ key, offset }: Entry): void {
    const parked = this.#keys.get(key);
    const [head] = parked?.waiting ?? [];
    if (parked === undefined || head?.entry.offset !== offset) return;
    parked.waiting.shift();
    parked.origins.delete(head.entry.record.offset);
    head.isResolved = true;
    if (parked.waiting.length === 0 && parked.sent.size === 0) this.#keys.delete(key);
    this.#forget();
  }

  /** It failed again. @param due when to try it next, ms since the epoch. */
  postpone({ key, offset }: Entry, due: number): void {
    const head = this.#keys.get(key)?.waiting[0];
    if (head?.entry.offset !== offset) return;
    head.entry = { ...head.entry, due, attempts: head.entry.attempts + 1 };
  }

  /** The offset to commit for the retry topic: before it all is resolved. */
  position(): bigint {
    return this.#window[0]?.entry.offset ?? this.#next;
  }

  #forget(): void {
    let resolved = 0;
    for (const { isResolved, bytes } of this.#window) {
      if (!isResolved) break;
      resolved += 1;
      this.#bytes -= bytes;
    }
    this.#window.splice(0, resolved);
  }
}
