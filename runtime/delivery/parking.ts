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
  /** By their offsets in their own topic; the first one is tried. */
  readonly waiting: Kept[];
  /** Their offsets in their own topic. */
  readonly origins: Set<bigint>;
  /** The lowest of both; undefined when it has to be looked up. */
  lowest: bigint | undefined;
}

function lowestOf(parked: ParkedKey): bigint | undefined {
  if (parked.lowest !== undefined) return parked.lowest;
  let lowest = parked.waiting[0]?.entry.record.offset;
  for (const origin of parked.sent) if (lowest === undefined || origin < lowest) lowest = origin;
  parked.lowest = lowest;
  return lowest;
}

/** What a header takes in memory beside its bytes: a name and a buffer. */
const HEADER_OVERHEAD = 100;

/** Records that wait carry headers that say why: they are most of them. */
function headersWeight({ headers }: KafkaRecord): number {
  let bytes = 0;
  for (const value of Object.values(headers)) bytes += (value?.length ?? 0) + HEADER_OVERHEAD;
  return bytes;
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

  /** No record may be sent here any more until some are resolved. @param position of the lane in its own topic. */
  isFull(position: bigint): boolean {
    const { records, bytes } = this.#limits;
    if (this.#window.length + this.#sent < records && this.#bytes < bytes) return false;
    // What the lane has not reached again after a crash is resolved only when it has.
    return this.#sent > 0 || this.dueAt(position) !== undefined;
  }

  /**
   * Is there enough to try, so that reading on in the retry topic would only fill memory? Never while what comes next
   * may have to be read first: what was just sent, or what the lane has to reach before any of these.
   * @param position of the lane in its own topic.
   */
  isCrowded(position: bigint): boolean {
    return this.#sent === 0 && this.isFull(position);
  }

  /**
   * Must a record wait? One that comes before all that wait of its key must not: it was read again after a crash.
   * @param origin its own offset.
   */
  holds(key: string, origin: bigint): boolean {
    const parked = this.#keys.get(key);
    const lowest = parked === undefined ? undefined : lowestOf(parked);
    return lowest !== undefined && lowest <= origin;
  }

  /** From now on the key is parked: a record of it is on its way to the retry topic. @param origin its own offset. */
  send(key: string, origin: bigint): void {
    const parked = this.#parked(key);
    if (parked.sent.has(origin)) return;
    parked.sent.add(origin);
    parked.lowest = undefined;
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
    parked.lowest = undefined;
    if (parked.sent.delete(origin)) this.#sent -= 1;
    // Sent twice, when a crash came between the first and the position.
    const isKnown = parked.origins.has(origin);
    const bytes = weightOf(waiting.record) + headersWeight(waiting.record);
    const kept: Kept = { entry: { ...waiting, key }, bytes, isResolved: isKnown };
    this.#window.push(kept);
    this.#bytes += bytes;
    if (isKnown) {
      this.#forget();
    } else {
      const later = parked.waiting.findLastIndex(({ entry }) => entry.record.offset < origin);
      parked.waiting.splice(later + 1, 0, kept);
      parked.origins.add(origin);
    }
  }

  #parked(key: string): ParkedKey {
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    const parked: ParkedKey = {
      sent: new Set(),
      waiting: [],
      origins: new Set(),
      lowest: undefined,
    };
    this.#keys.set(key, parked);
    return parked;
  }

  /**
   * The first record of each key that is due, oldest due first, at most `most`. Only records before the lane's `position`:
   * after a crash it may still have to write earlier ones of their keys.
   */
  due(now: number, position: bigint, most: number): Entry[] {
    const heads = this.#heads(position).filter(({ due }) => due <= now);
    return heads.toSorted((a, b) => a.due - b.due).slice(0, most);
  }

  /** When the next record is due, ms since the epoch; undefined when none waits. */
  dueAt(position: bigint): number | undefined {
    let earliest: number | undefined;
    for (const { due } of this.#heads(position)) {
      if (earliest === undefined || due < earliest) earliest = due;
    }
    return earliest;
  }

  /** Of each key the record to try first; none where an earlier one is still on its way. */
  #heads(position: bigint): Entry[] {
    const heads: Entry[] = [];
    for (const parked of this.#keys.values()) {
      const head = parked.waiting[0]?.entry;
      if (head === undefined || head.record.offset >= position) continue;
      if (head.record.offset === lowestOf(parked)) heads.push(head);
    }
    return heads;
  }

  /** Delivered or dead-lettered: the next record of its key comes. */
  resolve({ key, offset }: Entry): void {
    const parked = this.#keys.get(key);
    const index = parked?.waiting.findIndex(({ entry }) => entry.offset === offset) ?? -1;
    const kept = parked?.waiting[index];
    if (parked === undefined || kept === undefined) return;
    parked.waiting.splice(index, 1);
    parked.origins.delete(kept.entry.record.offset);
    parked.lowest = undefined;
    kept.isResolved = true;
    if (parked.waiting.length === 0 && parked.sent.size === 0) this.#keys.delete(key);
    this.#forget();
  }

  /** It failed again. @param due when to try it next, ms since the epoch. */
  postpone({ key, offset }: Entry, due: number): void {
    const kept = this.#keys.get(key)?.waiting.find(({ entry }) => entry.offset === offset);
    if (kept === undefined) return;
    kept.entry = { ...kept.entry, due, attempts: kept.entry.attempts + 1 };
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
