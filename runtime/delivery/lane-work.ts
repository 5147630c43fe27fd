import { ReachflowError } from '../errors.ts';
import type { KafkaRecord, OutgoingRecord } from '../kafka/record.ts';
import { jittered } from './clock.ts';
import { deadLetter, type Failure } from './dead-letter.ts';
import { type LaneContext, LaneEnded, untilUp } from './lane-context.ts';
import { smallerLetters } from './letter-size.ts';
import { type Parking, parkingKey } from './parking.ts';
import { retryRecord } from './retry-record.ts';
import type { Entry, Group } from './retry-window.ts';
import type { OffsetRange, RecordResult, SinkBatch, SinkRecord } from './sink.ts';

/** Records published together: a batch has more than a publisher queues, and only what was refused is sent again. */
const PUBLISHED_AT_ONCE = 500;

type OnTooLarge = (record: OutgoingRecord, error: ReachflowError) => Promise<void>;

/** A decoded record on its way. */
interface Item {
  readonly raw: KafkaRecord;
  readonly record: SinkRecord;
}

/** What is to be written of a batch. */
interface Prepared {
  readonly items: readonly Item[];
  /** How far the retry topic was read when that was decided. */
  readonly seen: bigint;
  /** Records were left out. */
  readonly isLess: boolean;
}

/** What is left of a batch after the store's answer. */
interface Sorted {
  /** Delivered or to be offered again. */
  readonly kept: readonly Item[];
  /** Of those, the ones to be offered again. */
  readonly undelivered: readonly Item[];
  readonly removed: number;
  /** Of those. */
  readonly parked: number;
}

/**
 * What a lane does with records: until each of a range is delivered, dead-lettered or parked, and those that wait in the
 * retry topic, when they are due. Dead letters and parked records are acknowledged before it returns.
 */
export class LaneWork {
  readonly #context: LaneContext;
  readonly #parking: Parking;
  readonly #ended: AbortSignal;
  #sickRounds = 0;
  /** Of the batch under way. Its good records are in the store after its bad ones are in the DLQ: told together. */
  #delivered = 0;
  #rejected = 0;

  constructor(context: LaneContext, parking: Parking, ended: AbortSignal) {
    this.#context = context;
    this.#parking = parking;
    this.#ended = ended;
  }

  /**
   * Decodes; dead-letters what cannot be read and parks what follows a parked record. This comes before the write: a
   * range that is written again has to hold the same or fewer records.
   * @param found for a range that an owner before may have written: `PlannedRange.seen`.
   */
  async prepare(records: readonly KafkaRecord[], found: bigint | undefined): Promise<Prepared> {
    const decoded = await this.#untilUp(() => this.#context.decode(records));
    const seen = found ?? this.#parking.next;
    const failures: Failure[] = [];
    const parked: Failure[] = [];
    const items: Item[] = [];
    for (const one of decoded) {
      const key = parkingKey(one.raw);
      // It was sent there before a crash: once is enough.
      if (this.#parking.has(key, one.raw.offset)) continue;
      if ('error' in one) failures.push(this.#failure(one.raw, 'decode', one.error, 1));
      else if (this.#parking.holds(key, one.raw.offset, found)) {
        parked.push(this.#follower(one));
        this.#parking.send(key, one.raw.offset);
      } else items.push(one);
    }
    await this.#deadLetter(failures);
    await this.#park(parked);
    return { items, seen, isLess: items.length < records.length };
  }

  /**
   * @param confirm called when records were parked, before the rest is written.
   * @throws LaneEnded when it has to stop before all is settled; what the sink and `confirm` throw.
   */
  async settle(
    items: readonly Item[],
    range: OffsetRange,
    confirm: () => Promise<void>,
  ): Promise<void> {
    const { sink, gate } = this.#context;
    const isTransactional = sink.mode === 'transactional';
    // Dead-lettered of a planned range, and still of its batch.
    const given = new Set<Item>();
    const written = (some: readonly Item[]) => this.#write(some, { range });
    let left = items;
    let failures = 0;
    while (left.length > 0 || isTransactional) {
      const { results, sick } = await written(left);
      const { kept, undelivered, removed, parked } = await this.#sort(left, results, given);
      if (parked > 0) await confirm();
      const isSettled = undelivered.length === 0 && sick === undefined;
      if (isSettled && !(isTransactional && removed > 0)) {
        this.#deliver(kept.length - given.size);
        break;
      }
      if (sick !== undefined) {
        failures += 1;
        await gate.backOff(failures, this.#ended);
      } else if (removed === 0) {
        if (given.size === 0)
          throw new Error(`sink ${sink.name} held records and had no reason to`);
        // It held the others for one that it rejects each time, and has written nothing.
        left = kept.filter((item) => !given.has(item));
        given.clear();
        continue;
      }
      // A planned range comes again as it was, or the store would take it for another, or the rest for the whole.
      left = sink.mode === 'planned' ? kept : undelivered;
      this.#deliver(kept.length - left.length);
    }
    this.#tellSettled();
  }

  /**
   * Tries records of the retry topic once, each the first of its key.
   * @returns false when the store could not take any now: the same group is to be tried again.
   * @throws as `settle`.
   */
  async retry({ name, entries }: Group): Promise<boolean> {
    const decoded = await this.#untilUp(() =>
      this.#context.decode(entries.map(({ record }) => record)),
    );
    const dead: Failure[] = [];
    const resolved: Entry[] = [];
    const tried: { readonly entry: Entry; readonly item: Item }[] = [];
    for (const [i, one] of decoded.entries()) {
      const entry = entries[i];
      if (entry === undefined) continue;
      if ('record' in one) {
        tried.push({ entry, item: one });
      } else {
        dead.push(this.#failure(one.raw, 'decode', one.error, entry.attempts + 1));
        resolved.push(entry);
      }
    }
    const items = tried.map(({ item }) => item);
    const { results, sick } =
      items.length === 0
        ? { results: [], sick: undefined }
        : await this.#write(items, { range: undefined, ...(name && { plan: name }) });
    let delivered = 0;
    for (const [i, result] of results.entries()) {
      const one = tried[i];
      if (one === undefined) continue;
      if (result.status === 'delivered') delivered += 1;
      const failure = this.#retryFailure(one.entry, result);
      if (failure !== undefined) dead.push(failure);
      if (failure !== undefined || result.status === 'delivered') resolved.push(one.entry);
    }
    await this.#deadLetter(dead);
    for (const entry of resolved) this.#parking.resolve(entry);
    this.#deliver(delivered);
    this.#tellSettled();
    this.#sickRounds = sick === undefined ? 0 : this.#sickRounds + 1;
    if (sick !== undefined) await this.#context.gate.backOff(this.#sickRounds, this.#ended);
    return sick === undefined;
  }

  /** Why a record is given up; undefined when it is not. One that may be tried again is postponed. */
  #retryFailure(entry: Entry, result: RecordResult): Failure | undefined {
    if (result.status === 'rejected') {
      return this.#failure(entry.record, 'write', result.error, entry.attempts + 1);
    }
    if (result.status !== 'retry' || result.of === 'store') return undefined;
    const { parking } = this.#context.config;
    // The first attempt was the one that sent it here; a follower had none.
    const attempts = entry.attempts + 1;
    if (attempts > parking.attempts) {
      return this.#failure(entry.record, 'write', result.error, attempts);
    }
    this.#parking.postpone(entry, this.#dueAfter(attempts));
    return undefined;
  }

  async #write(items: readonly Item[], of: Pick<SinkBatch, 'range' | 'plan'>) {
    const { topic, partition, gate } = this.#context;
    const records = items.map(({ record }) => record);
    const origins = items.map(({ raw }) => raw);
    const written = await gate.write({ topic, partition, ...of, records }, origins, this.#ended);
    if (written === undefined) throw new LaneEnded();
    return written;
  }

  /** @param given what is dead-lettered already and offered with the rest of its planned range; it is added to. */
  async #sort(
    items: readonly Item[],
    results: readonly RecordResult[],
    given: Set<Item>,
  ): Promise<Sorted> {
    const isPlanned = this.#context.sink.mode === 'planned';
    const dead: Failure[] = [];
    const parked: Failure[] = [];
    /** The first one parked here, by key. Not what was read meanwhile: an attempt before may have written what follows. */
    const firsts = new Map<string, bigint>();
    const open: { readonly item: Item; readonly isDelivered: boolean }[] = [];
    for (const [i, item] of items.entries()) {
      const result = results[i];
      if (result === undefined) continue;
      if (given.has(item)) {
        open.push({ item, isDelivered: true });
      } else if (result.status === 'rejected') {
        dead.push(this.#failure(item.raw, 'write', result.error, 1, item.record));
        if (isPlanned) {
          given.add(item);
          open.push({ item, isDelivered: true });
        }
      } else if (result.status === 'retry' && result.of === 'record') {
        const key = parkingKey(item.raw);
        parked.push(this.#failure(item.raw, 'write', result.error, 1, item.record));
        this.#parking.send(key, item.raw.offset);
        if (!firsts.has(key)) firsts.set(key, item.raw.offset);
      } else {
        const isDelivered = result.status === 'delivered';
        // What follows a record that was just parked, in this batch.
        if (!isDelivered && firsts.has(parkingKey(item.raw))) {
          parked.push(this.#follower(item));
          this.#parking.send(parkingKey(item.raw), item.raw.offset);
        } else open.push({ item, isDelivered });
      }
    }
    await this.#deadLetter(dead);
    await this.#park(parked);
    return {
      kept: open.map(({ item }) => item),
      undelivered: open.flatMap(({ item, isDelivered }) => (isDelivered ? [] : [item])),
      removed: dead.length + parked.length,
      parked: parked.length,
    };
  }

  async #deadLetter(failures: readonly Failure[]): Promise<void> {
    if (failures.length === 0) return;
    await this.#publish(failures.map(deadLetter), (letter) => this.#publishLess(letter));
    this.#context.deadLettered(failures.map(({ error }) => error.code));
    this.#rejected += failures.length;
  }

  #deliver(records: number): void {
    this.#context.delivered(records);
    this.#delivered += records;
  }

  #tellSettled(): void {
    const [delivered, rejected] = [this.#delivered, this.#rejected];
    [this.#delivered, this.#rejected] = [0, 0];
    if (delivered + rejected > 0) this.#context.settled(delivered + rejected, rejected);
  }

  async #park(failures: readonly Failure[]): Promise<void> {
    if (failures.length === 0) return;
    const { clock, gate, retryEnd } = this.#context;
    const large: Failure[] = [];
    const sent = new Map(
      failures.map((failure) => {
        const due = failure.attempts === 0 ? clock.now() : this.#dueAfter(failure.attempts);
        return [retryRecord(failure, due, this.#parking.epoch), failure];
      }),
    );
    await this.#publish([...sent.keys()], async (record, error) => {
      const failure = sent.get(record);
      if (failure !== undefined) large.push({ ...failure, error });
    });
    // It cannot wait there: its key goes on without it, as after any dead letter.
    await this.#deadLetter(large);
    for (const { record } of large) this.#parking.takeBack(parkingKey(record), record.offset);
    this.#parking.acknowledged(await this.#untilUp(retryEnd));
    gate.counts.recordRetries += failures.length - large.length;
  }

  /** Resolves when all are acknowledged. @param onTooLarge for those that are larger than their topic takes. */
  async #publish(records: readonly OutgoingRecord[], onTooLarge: OnTooLarge): Promise<void> {
    for (let from = 0; from < records.length; from += PUBLISHED_AT_ONCE) {
      const some = records.slice(from, from + PUBLISHED_AT_ONCE);
      const error = await this.#tryToPublish(some);
      if (error === undefined) continue;
      // Which one it is, is not said: those that are there already are there twice, and count once.
      for (const record of some) {
        const own = await this.#tryToPublish([record]);
        if (own !== undefined) await onTooLarge(record, own);
      }
    }
  }

  /** A letter is in the DLQ as far as that takes it, and says so. @throws ReachflowError `RECORD_TOO_LARGE`. */
  async #publishLess(letter: OutgoingRecord): Promise<void> {
    let error: ReachflowError | undefined;
    for (const less of smallerLetters(letter)) {
      error = await this.#tryToPublish([less]);
      if (error === undefined) return;
    }
    throw error;
  }

  /** @returns the error where one is larger than its topic takes. */
  async #tryToPublish(records: readonly OutgoingRecord[]): Promise<ReachflowError | undefined> {
    try {
      await this.#untilUp(() => this.#context.publish(records));
      return undefined;
    } catch (error) {
      if (error instanceof ReachflowError && error.code === 'RECORD_TOO_LARGE') return error;
      throw error;
    }
  }

  #dueAfter(attempts: number): number {
    const { clock, config } = this.#context;
    return clock.now() + jittered(clock, attempts, config.parking);
  }

  /** A record that nothing is wrong with: it waits for the one before it. */
  #follower({ raw, record }: Item): Failure {
    const error = new ReachflowError('an earlier record of this key waits for a retry', {
      code: 'KEY_PARKED',
      domain: 'internal',
      retry: 'backoff',
    });
    return this.#failure(raw, 'park', error, 0, record);
  }

  #failure(
    raw: KafkaRecord,
    step: string,
    error: ReachflowError,
    attempts: number,
    record?: SinkRecord,
  ): Failure {
    const { topic, partition, sink, clock } = this.#context;
    const tenant = record?.value?.['tenant_id'];
    return {
      topic,
      partition,
      record: raw,
      consumer: sink.name,
      step,
      error,
      attempts,
      firstFailure: clock.now(),
      ...(typeof tenant === 'string' ? { tenant } : {}),
    };
  }

  #untilUp<T>(work: () => Promise<T>): Promise<T> {
    return untilUp(this.#context, this.#ended, work);
  }
}
