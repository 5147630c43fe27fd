import { jittered } from './clock.ts';
import type { LaneContext } from './lane-context.ts';
import type { Fetched, LaneSource } from './lane-source.ts';
import type { LaneWork } from './lane-work.ts';
import { Parking, type ParkingLimits } from './parking.ts';
import type { GroupPositions } from './position.ts';
import { parseRetryMetadata, type RetryPosition } from './retry-position.ts';
import { waitingRecord } from './retry-record.ts';

export interface RetryLaneOptions extends LaneContext {
  /** Its share of what may wait in retry topics. Asked once, when the lane is opened. */
  readonly parkingLimits: () => ParkingLimits;
  /** The same partition of the retry topic. */
  readonly retrySource: LaneSource;
  readonly retryPositions: GroupPositions;
}

/** Repeats until it works, as long as the lane lives. */
type UntilUp = <T>(work: () => Promise<T>) => Promise<T>;

const NOTHING: RetryPosition = { fences: [], plan: undefined, states: new Map() };

export const LOST = 'records were deleted by retention before they were delivered';

/** The retry topic's side of a lane: reads what waits there, tries it when it is due, and keeps the position there. */
export class RetryLane {
  readonly parking: Parking;
  readonly #options: RetryLaneOptions;
  readonly #untilUp: UntilUp;
  #isPaused = false;
  /** Where a fetch did not begin that was sought: the second time in a row nothing is there any more. */
  #gap: bigint | undefined;
  #isGone = false;
  /** As text. */
  #committed: string;

  private constructor(options: RetryLaneOptions, untilUp: UntilUp, parking: Parking) {
    this.#options = options;
    this.#untilUp = untilUp;
    this.parking = parking;
    this.#committed = this.#position();
  }

  /**
   * Takes the partition over. The retry topic's end is asked for when the lane's position is known: from then on nobody
   * else can move that past a record that they parked. What they send there later is void once that end is committed.
   */
  static async open(options: RetryLaneOptions, untilUp: UntilUp): Promise<RetryLane> {
    const { retryPositions, retrySource, parkingLimits, clock, config } = options;
    const committed = await untilUp(() => retryPositions.committed());
    const { offset, metadata, low, end } = committed;
    const isKnown = offset !== undefined && offset <= end && !committed.isOther;
    if (committed.isOther) {
      const { logger, topic, partition } = options;
      logger.error(
        { topic, partition },
        'the retry topic was made anew: what waited there is gone',
      );
    }
    const found = isKnown ? parseRetryMetadata(offset, metadata) : NOTHING;
    const from = isKnown && offset > low ? offset : low;
    const epochs = found.fences.map(({ epoch }) => epoch + 1);
    const parking = new Parking(parkingLimits(), {
      from,
      end,
      found,
      epoch: Math.max(clock.now(), ...epochs),
      dueAfter: (attempts) => clock.now() + jittered(clock, attempts, config.parking),
    });
    await untilUp(() => retryPositions.commit(parking.position(), parking.metadata()));
    retrySource.seek(from);
    retrySource.resume();
    return new RetryLane(options, untilUp, parking);
  }

  /** What was fetched. Never waits. @param position of the lane in its own topic. */
  push({ records, from, next }: Fetched, position: bigint): void {
    const { parking } = this;
    if (from > parking.next) {
      this.#isGone = this.#gap === parking.next;
      this.#gap = parking.next;
      this.#options.retrySource.seek(parking.next);
      return;
    }
    this.#gap = undefined;
    const waiting = records.flatMap((raw) => waitingRecord(raw) ?? []);
    if (waiting.length < records.length) {
      const { logger, topic, partition } = this.#options;
      logger.warn(
        { topic, partition },
        'passed over records of the retry topic that no sink wrote',
      );
    }
    parking.read(waiting, next);
    this.throttle(position);
  }

  /** Letters that are sent back may be more than memory holds: it stops reading them while enough can be tried. */
  throttle(position: bigint): void {
    const isCrowded = this.parking.isCrowded(position);
    if (isCrowded === this.#isPaused) return;
    this.#isPaused = isCrowded;
    if (isCrowded) this.#options.retrySource.pause();
    else this.#options.retrySource.resume();
  }

  /** May entries be tried? */
  get isReady(): boolean {
    return this.parking.isLoaded || this.#isPaused;
  }

  /** Goes on behind what retention has deleted, if it has. */
  async passOver(): Promise<void> {
    if (!this.#isGone) return;
    const { parking } = this;
    const { retryPositions, retrySource, logger, topic, partition } = this.#options;
    const { low } = await this.#untilUp(() => retryPositions.committed());
    this.#isGone = false;
    if (low <= parking.next) return;
    const [from, to] = [String(parking.next), String(low)];
    logger.error({ topic, partition, retries: true, from, to }, LOST);
    parking.read([], low);
    retrySource.seek(low);
  }

  /** Tries once what is due. @returns false when nothing is. */
  async try(work: LaneWork, now: number, position: bigint): Promise<boolean> {
    const { sink } = this.#options;
    if (!this.isReady) return false;
    const isPlanned = sink.mode === 'planned';
    const group = this.parking.group(now, position, sink.limits.records, isPlanned);
    if (group === undefined) return false;
    // Planned before it is written: whoever goes on after a crash then writes the same group, by the same name.
    if (isPlanned) await this.commit();
    if (await work.retry(group)) this.parking.settled();
    await this.commit();
    return true;
  }

  /** Commits where it is, unless that is committed. */
  async commit(): Promise<void> {
    const at = this.#position();
    if (at === this.#committed) return;
    const { parking } = this;
    const [offset, metadata] = [parking.position(), parking.metadata()];
    await this.#untilUp(() => this.#options.retryPositions.commit(offset, metadata));
    this.#committed = at;
  }

  #position(): string {
    return `${this.parking.position()} ${this.parking.metadata()}`;
  }
}
