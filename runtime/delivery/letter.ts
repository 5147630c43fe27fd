import type { LazyRecord } from '../kafka/lazy-record.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import { type DeadLetterInfo, DLQ_HEADER_PREFIX, deadLetterInfo } from './dead-letter.ts';
import type { Resolution, Resolutions } from './resolutions.ts';

/** A record in a DLQ, with its position there. */
export interface DeadLetter {
  readonly dlq: string;
  readonly dlqPartition: number;
  readonly dlqOffset: bigint;
  readonly info: DeadLetterInfo;
  readonly record: KafkaRecord;
  /** What was done with it; absent when nothing. */
  readonly resolution?: Resolution | undefined;
}

/** What letters are chosen and ordered by. */
const LOOKED_AT = [
  'offset',
  'last_failure',
  'replay_count',
  'topic',
  'consumer',
  'step',
  'code',
  'fingerprint',
  'tenant',
  'truncated',
] as const;
const NAMES = LOOKED_AT.map((name) => Buffer.from(DLQ_HEADER_PREFIX + name));
const PLACES: ReadonlyMap<string, number> = new Map(LOOKED_AT.map((name, i) => [name, i]));

/** A header of the failure that can be asked for alone. */
export type LetterText = Exclude<
  (typeof LOOKED_AT)[number],
  'offset' | 'last_failure' | 'replay_count'
>;

/**
 * A letter as it is read from a DLQ, by the thousands: what it is chosen and ordered by is found in its bytes, all else is
 * decoded when somebody asks for it.
 */
export class ReadLetter implements DeadLetter {
  readonly dlq: string;
  readonly dlqPartition: number;
  readonly record: LazyRecord;
  /** Offset of the record that failed; -1 where no record is behind the letter. */
  readonly originOffset: number;
  readonly replayCount: number;
  /** ms since the epoch. */
  readonly lastFailure: number;
  readonly resolution: Resolution | undefined;
  readonly #resolutions: Resolutions;
  readonly #places: readonly number[];
  #info: DeadLetterInfo | undefined;

  constructor(dlq: string, dlqPartition: number, record: LazyRecord, resolutions: Resolutions) {
    this.dlq = dlq;
    this.dlqPartition = dlqPartition;
    this.record = record;
    this.#resolutions = resolutions;
    this.#places = record.locate(NAMES);
    this.originOffset = this.#number(0);
    this.lastFailure = Math.max(this.#number(1), 0);
    this.replayCount = Math.max(this.#number(2), 0);
    this.resolution = resolutions.of(dlq, dlqPartition, record.offset, this.lastFailure);
  }

  get dlqOffset(): bigint {
    return this.record.offset;
  }

  /** Decodes all of it, once. */
  get info(): DeadLetterInfo {
    this.#info ??= deadLetterInfo(this.record);
    return this.#info;
  }

  /** Without decoding the rest. */
  text(name: LetterText): string {
    const place = (PLACES.get(name) ?? 0) * 2;
    return this.record.text(this.#places[place] ?? 0, this.#places[place + 1] ?? 0);
  }

  /** With bytes of its own. */
  copy(): ReadLetter {
    return new ReadLetter(this.dlq, this.dlqPartition, this.record.copy(), this.#resolutions);
  }

  #number(name: number): number {
    return this.record.digits(this.#places[name * 2] ?? 0, this.#places[name * 2 + 1] ?? 0);
  }
}
