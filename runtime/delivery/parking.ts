import type { KafkaRecord } from '../kafka/record.ts';
import type { RetryPosition } from './retry-position.ts';
import type { WaitingRecord } from './retry-record.ts';
import { type Entry, type Group, type Kept, RetryWindow } from './retry-window.ts';

export interface ParkingLimits {
  /** Entries from the lowest outstanding one on, at most, before the main lane has to wait. */
  readonly records: number;
  /** Their bytes, likewise. */
  readonly bytes: number;
}

/** What of a retry topic's partition an owner takes over. */
export interface ParkingStart {
  /** Where reading of the retry topic begins. */
  readonly from: bigint;
  /** Its end: until then what the owners before have parked may come. */
  readonly end: bigint;
  readonly found: RetryPosition;
  /** Of this owner, larger than all before. */
  readonly epoch: number;
  /** When to try what an owner before has tried so often, ms since the epoch. */
  readonly dueAfter: (attempts: number) => number;
}

interface Sent {
  readonly key: string;
  readonly origin: bigint;
  /** End of the retry topic once it was acknowledged there; undefined until then. */
  end: bigint | undefined;
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
  readonly epoch: number;
  readonly #limits: ParkingLimits;
  readonly #window: RetryWindow;
  readonly #end: bigint;
  readonly #keys = new Map<string, ParkedKey>();
  #sent: Sent[] = [];

  constructor(limits: ParkingLimits, { from, end, found, epoch, dueAfter }: ParkingStart) {
    this.epoch = epoch;
    this.#limits = limits;
    this.#end = end;
    const fences = [...found.fences, { epoch, offset: end }];
    this.#window = new RetryWindow(from, { ...found, fences }, dueAfter);
  }

  /** Next offset to read of the retry topic. */
  get next(): bigint {
    return this.#window.next;
  }

  /** All that the owners before have parked is read: until then keys may be parked that it does not know of. */
  get isLoaded(): boolean {
    return this.next >= this.#end;
  }

  /** Keys that wait. */
  get keys(): number {
    return this.#keys.size;
  }

  /** Records that wait. */
  get records(): number {
    return this.#window.outstanding + this.#sent.length;
  }

  /** No record may be sent here any more until some are resolved. @param position of the lane in its own topic. */
  isFull(position: bigint): boolean {
    const { records, bytes } = this.#limits;
    const { length } = this.#window;
    if (length + this.#sent.length < records && this.#window.bytes < bytes) return false;
    // What the lane has not reached again after a crash is resolved only when it has.
    return this.#sent.length > 0 || this.dueAt(position) !== undefined;
  }

  /**
   * Is there enough to try, so that reading on in the retry topic would only fill memory? Never while what comes next
   * may have to be read first: what was just sent, or what the lane has to reach before any of these.
   * @param position of the lane in its own topic.
   */
  isCrowded(position: bigint): boolean {
    if (this.#window.isPlanned && this.#window.planned() === undefined) return false;
    return this.#sent.length === 0 && this.isFull(position);
  }

  /** Is the record in the retry topic already, as far as that is read? @param origin its own offset. */
  has(key: string, origin: bigint): boolean {
    return this.#keys.get(key)?.origins.has(origin) === true;
  }

  /**
   * Must a record wait? One that comes before all that wait of its key must not: it was read again after a crash.
   * @param origin its own offset.
   * @param seen how far the retry topic had been read when the record's range was planned, where another one may have
   *   written that: what was sent back behind it cannot have kept the record out of the range.
   */
  holds(key: string, origin: bigint, seen?: bigint): boolean {
    const parked = this.#keys.get(key);
    if (parked === undefined) return false;
    const lowest = lowestOf(parked);
    if (lowest === undefined || lowest > origin) return false;
    if (seen === undefined) return true;
    for (const sent of parked.sent) if (sent <= origin) return true;
    return parked.waiting.some(
      ({ entry }) =>
        entry.record.offset <= origin && (entry.epoch !== undefined || entry.offset < seen),
    );
  }

  /** From now on the key is parked: a record of it is on its way to the retry topic. @param origin its own offset. */
  send(key: string, origin: bigint): void {
    const parked = this.#parked(key);
    if (parked.sent.has(origin)) return;
    parked.sent.add(origin);
    parked.lowest = undefined;
    this.#sent.push({ key, origin, end: undefined });
  }

  /** It will never be in the retry topic. @param origin its own offset. */
  takeBack(key: string, origin: bigint): void {
    this.#sent = this.#sent.filter((sent) => sent.key !== key || sent.origin !== origin);
    this.#leave(key, origin);
  }

  #leave(key: string, origin: bigint): void {
    const parked = this.#parked(key);
    parked.sent.delete(origin);
    parked.lowest = undefined;
    if (parked.waiting.length === 0 && parked.sent.size === 0) this.#keys.delete(key);
  }

  /**
   * All that was sent is acknowledged. Where an acknowledgement was lost, a record may be there more than once: it is tried
   * when all its copies are read.
   * @param end of the retry topic, asked for afterwards.
   */
  acknowledged(end: bigint): void {
    for (const sent of this.#sent) sent.end ??= end;
    this.#arrive();
  }

  /** What was read of the retry topic, in order. @param next where reading goes on. */
  read(records: readonly WaitingRecord[], next: bigint): void {
    for (const waiting of records) if (waiting.offset >= this.next) this.#add(waiting);
    this.#window.passTo(next);
    this.#window.forget();
    this.#arrive();
  }

  #add(waiting: WaitingRecord): void {
    const key = parkingKey(waiting.record);
    const origin = waiting.record.offset;
    const isOver = this.#window.isVoid(waiting) || this.has(key, origin);
    const kept = this.#window.add(waiting, key, isOver);
    if (kept.isResolved) return;
    const parked = this.#parked(key);
    parked.lowest = undefined;
    const later = parked.waiting.findLastIndex(({ entry }) => entry.record.offset < origin);
    parked.waiting.splice(later + 1, 0, kept);
    parked.origins.add(origin);
  }

  /** What was sent is read. */
  #arrive(): void {
    const isOut = ({ end }: Sent) => end === undefined || end > this.next;
    if (this.#sent.every(isOut)) return;
    for (const { key, origin } of this.#sent.filter((sent) => !isOut(sent))) {
      this.#leave(key, origin);
    }
    this.#sent = this.#sent.filter(isOut);
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
   * What to try now, at most `most`: the group that was planned, or the first record of each key that is due, oldest due
   * first. Only records before the lane's `position`: after a crash it may still have to write earlier ones of their keys.
   * @param isNamed whether the store wants the same group again after a crash: it stays planned until `settled`.
   */
  group(now: number, position: bigint, most: number, isNamed: boolean): Group | undefined {
    const planned = this.#window.planned();
    if (planned !== undefined) return planned;
    if (this.#window.isPlanned) return undefined;
    const heads = this.#heads(position).filter(({ due }) => due <= now);
    if (heads.length === 0) return undefined;
    const entries = heads.toSorted((a, b) => a.due - b.due).slice(0, most);
    return isNamed ? this.#window.plan(entries) : { name: undefined, entries };
  }

  /** When the next record is due, ms since the epoch; undefined when none waits. */
  dueAt(position: bigint): number | undefined {
    if (this.#window.isPlanned) return this.#window.planned() === undefined ? undefined : 0;
    let earliest: number | undefined;
    for (const { due } of this.#heads(position)) {
      if (earliest === undefined || due < earliest) earliest = due;
    }
    return earliest;
  }

  /** Of each key the record to try first; none where an earlier one is still on its way. */
  #heads(position: bigint): Entry[] {
    const heads: Entry[] = [];
    const { reach } = this.#window;
    for (const parked of this.#keys.values()) {
      const head = parked.waiting.find(({ entry }) => entry.offset < reach)?.entry;
      if (head === undefined || head.record.offset >= position) continue;
      // Of what was parked there may be more copies.
      if (head.epoch !== undefined && !this.isLoaded) continue;
      if ([...parked.sent].every((sent) => sent > head.record.offset)) heads.push(head);
    }
    return heads;
  }

  /** The group that was planned is dealt with. */
  settled(): void {
    this.#window.closePlan();
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
    this.#window.forget();
  }

  /** It failed again. @param due when to try it next, ms since the epoch. */
  postpone({ key, offset }: Entry, due: number): void {
    const kept = this.#keys.get(key)?.waiting.find(({ entry }) => entry.offset === offset);
    if (kept === undefined) return;
    kept.entry = { ...kept.entry, due, attempts: kept.entry.attempts + 1 };
    kept.isTried = true;
  }

  /** The offset to commit for the retry topic: before it all is resolved. */
  position(): bigint {
    return this.#window.position();
  }

  /** What is committed with `position()`: what is resolved behind it, tried how often, and planned. */
  metadata(): string {
    return this.#window.metadata();
  }
}
