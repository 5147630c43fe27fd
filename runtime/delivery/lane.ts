import { ReachflowError } from '../errors.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { InputStatus } from '../observability/process-status.ts';
import { type BufferBudget, type Cut, LaneBuffer } from './lane-buffer.ts';
import { type LaneContext, LaneEnded, untilUp } from './lane-context.ts';
import { LaneWork } from './lane-work.ts';
import { Parking, type ParkingLimits } from './parking.ts';
import { originOf } from './planned-position.ts';
import type { GroupPositions, PositionProtocol } from './position.ts';
import { waitingRecord } from './retry-record.ts';
import type { OffsetRange } from './sink.ts';

/** A partition of the consumer, as far as its lane steers it. */
export interface LaneSource {
  /** Stops fetching; what is fetched already may still come. */
  pause(): void;
  resume(): void;
  /** Reading goes on at `offset`. */
  seek(offset: bigint): void;
}

export interface LaneOptions extends LaneContext {
  readonly position: PositionProtocol;
  /** Of its own topic. */
  readonly positions: Pick<GroupPositions, 'committed'>;
  readonly budget: BufferBudget;
  /** Its share of what may wait in retry topics. Asked once, when the lane is opened. */
  readonly parkingLimits: () => ParkingLimits;
  readonly source: LaneSource;
  /** The same partition of the retry topic. */
  readonly retrySource: LaneSource;
  readonly retryPositions: GroupPositions;
  /** Called once when the lane gave up for good. */
  readonly onFatal: (error: unknown) => void;
}

/** Records of one fetch. */
export interface Fetched {
  readonly records: readonly KafkaRecord[];
  /** Where the fetch began. */
  readonly from: bigint;
  /** Where reading goes on. */
  readonly next: bigint;
  /** Next offset on the broker. */
  readonly end: bigint;
}

const LOST = 'records were deleted by retention before they were delivered';

/** When there is nothing to wait for, ms: whatever comes wakes the lane. */
const LONG_MS = 60_000;

/**
 * One partition of a topic on its way to a store, and the same partition of the topic's retry topic: the only writer of
 * that partition. A loop of its own takes what is fetched, so that neither the consumer nor its heartbeats wait for
 * the store. It lives from an assignment to the next rebalance.
 */
export class Lane {
  readonly #options: LaneOptions;
  /** Aborts when nothing new may begin: what is under way is finished. */
  readonly #draining = new AbortController();
  #isDead = false;
  #alarm = new AbortController();
  #buffer: LaneBuffer | undefined;
  #parking: Parking | undefined;
  #work: LaneWork | undefined;
  /** The retry topic's end at the assignment: until it is read, keys may be parked that the lane does not know of. */
  #retryEnd = 0n;
  #retryCommitted: bigint | undefined;
  #plannedEnd: bigint | undefined;
  #planned: Cut | undefined;
  #epoch = 0n;
  #inFlight = 0;
  #isPaused = true;
  #isRetryPaused = false;
  /** Where a fetch did not begin that was sought: the second time in a row nothing is there any more. */
  #gap: bigint | undefined;
  #isGone = false;
  #retryGap: bigint | undefined;
  #isRetryGone = false;
  #wasRetry = false;
  #settled: bigint | undefined;
  #end = 0n;
  readonly #running: Promise<void>;

  /** Begins at once. Both partitions are to be paused. */
  constructor(options: LaneOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get parkedKeys(): number {
    return this.#parking?.keys ?? 0;
  }

  get parkedRecords(): number {
    return this.#parking?.records ?? 0;
  }

  /** Before it all of its topic is settled. */
  get #position(): bigint {
    return this.#settled ?? 0n;
  }

  /** How far it is. */
  status(): InputStatus {
    const { topic, partition } = this.#options;
    if (this.#settled === undefined) return { topic, partition };
    const position = Number(this.#settled);
    const end = Math.max(position, Number(this.#end));
    return { topic, partition, position, end, lag: end - position };
  }

  /** What was fetched of its topic. Never waits. */
  push({ records, from, next, end }: Fetched): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#draining.signal.aborted) return;
    if (end > this.#end) this.#end = end;
    const { clock, budget } = this.#options;
    const bytes = buffer.push(records, from, next, clock.now());
    if (bytes === undefined) {
      this.#onGap(buffer);
      return;
    }
    this.#gap = undefined;
    budget.take(bytes);
    this.#throttle(buffer);
    this.#wake();
  }

  /** A fetch from before a seek may come late; one that begins behind it again says that retention came first. */
  #onGap(buffer: LaneBuffer): void {
    const { source } = this.#options;
    if (this.#gap === buffer.next) {
      this.#isGone = true;
      this.#isPaused = true;
      source.pause();
      this.#wake();
    } else {
      this.#gap = buffer.next;
      source.seek(buffer.next);
    }
  }

  /** Goes on behind what retention has deleted before it was read, once all that was read is written. */
  async #passOver(buffer: LaneBuffer): Promise<void> {
    const { positions, source, logger, topic, partition } = this.#options;
    const { low } = await this.#untilUp(() => positions.committed());
    this.#isGone = false;
    this.#gap = undefined;
    if (low > buffer.next) {
      const [from, to] = [String(buffer.next), String(low)];
      logger.error({ topic, partition, from, to }, LOST);
      buffer.passTo(low);
    }
    source.seek(buffer.next);
    this.#isPaused = false;
    source.resume();
  }

  async #passOverRetries(parking: Parking): Promise<void> {
    const { retryPositions, retrySource, logger, topic, partition } = this.#options;
    const { low } = await this.#untilUp(() => retryPositions.committed());
    this.#isRetryGone = false;
    if (low <= parking.next) return;
    const [from, to] = [String(parking.next), String(low)];
    logger.error({ topic, partition, retries: true, from, to }, LOST);
    parking.read([], low);
    retrySource.seek(low);
  }

  /** What was fetched of its retry topic. Never waits. */
  pushRetries({ records, from, next }: Fetched): void {
    const parking = this.#parking;
    if (parking === undefined || this.#draining.signal.aborted) return;
    if (from > parking.next) {
      this.#isRetryGone = this.#retryGap === parking.next;
      this.#retryGap = parking.next;
      this.#options.retrySource.seek(parking.next);
      this.#wake();
      return;
    }
    this.#retryGap = undefined;
    const waiting = records.flatMap((raw) => waitingRecord(raw) ?? []);
    if (waiting.length < records.length) {
      const { logger, topic, partition } = this.#options;
      logger.warn(
        { topic, partition },
        'passed over records of the retry topic that no sink wrote',
      );
    }
    parking.read(waiting, next);
    this.#throttleRetries(parking);
    this.#wake();
  }

  /** Letters that are sent back may be more than memory holds: it stops reading them while enough can be tried. */
  #throttleRetries(parking: Parking): void {
    const isCrowded = parking.isCrowded(this.#position);
    if (isCrowded === this.#isRetryPaused) return;
    this.#isRetryPaused = isCrowded;
    if (isCrowded) this.#options.retrySource.pause();
    else this.#options.retrySource.resume();
  }

  /**
   * Begins nothing new. Resolves when what is under way is written and committed; a batch that its store does not
   * take, or that cannot be committed, is given up.
   */
  drain(): Promise<void> {
    this.#draining.abort();
    this.#wake();
    return this.#running;
  }

  /** From now on it commits and writes nothing, whatever is under way. */
  kill(): void {
    this.#isDead = true;
    void this.drain();
  }

  async #run(): Promise<void> {
    const { onFatal, logger, topic, partition } = this.#options;
    for (let losses = 0; !this.#draining.signal.aborted; losses += 1) {
      try {
        if (losses > 0) await this.#options.gate.backOff(losses, this.#draining.signal);
        await this.#open();
        await this.#serve();
      } catch (error) {
        const code = error instanceof ReachflowError ? error.code : undefined;
        // The member is not of the group's generation: it joins again, and lanes begin anew.
        if (error instanceof LaneEnded || code === 'GROUP_CHANGED') break;
        if (code !== 'SINK_FENCED') {
          onFatal(error);
          break;
        }
        logger.warn({ topic, partition }, 'another owner has claimed the partition; claiming anew');
      }
    }
    this.#giveBack();
  }

  async #open(): Promise<void> {
    const { position, source, logger, topic, partition } = this.#options;
    source.pause();
    const start = await this.#untilUp(() => position.open());
    await this.#openRetries();
    this.#giveBack();
    this.#epoch = start.epoch;
    this.#settled = start.position;
    this.#plannedEnd = start.plannedEnd;
    this.#planned = undefined;
    this.#buffer = new LaneBuffer(this.#options.sink.limits, start.position, start.from);
    source.seek(start.from);
    this.#isPaused = false;
    this.#isGone = false;
    this.#gap = undefined;
    if (start.from > start.position) {
      const [from, to] = [String(start.position), String(start.from)];
      logger.error({ topic, partition, from, to }, LOST);
    }
    source.resume();
  }

  /**
   * What waits in the retry topic is read before anything is written: later records of its keys have to wait, too. Its end
   * is asked for when the position is known: from then on nobody else can move that past a record that they parked.
   */
  async #openRetries(): Promise<void> {
    const { retryPositions, retrySource, parkingLimits } = this.#options;
    const { offset, low, high } = await this.#untilUp(() => retryPositions.committed());
    this.#retryEnd = high;
    if (this.#parking !== undefined) return;
    const from = offset === undefined || offset < low || offset > high ? low : offset;
    this.#retryCommitted = offset;
    this.#parking = new Parking(parkingLimits(), from);
    const publish: LaneContext['publish'] = async (letters) => {
      if (this.#isDead) throw new LaneEnded();
      await this.#options.publish(letters);
    };
    const context = { ...this.#options, publish };
    this.#work = new LaneWork(context, this.#parking, this.#draining.signal);
    retrySource.seek(from);
    retrySource.resume();
  }

  async #serve(): Promise<void> {
    const [buffer, parking, work] = [this.#buffer, this.#parking, this.#work];
    if (buffer === undefined || parking === undefined || work === undefined) return;
    const { signal } = this.#draining;
    while (!signal.aborted) {
      // Whatever comes from here on cuts the next wait short.
      if (this.#alarm.signal.aborted) this.#alarm = new AbortController();
      const now = this.#options.clock.now();
      if (this.#isRetryGone) await this.#passOverRetries(parking);
      this.#throttleRetries(parking);
      const isLoaded = parking.next >= this.#retryEnd;
      const { records } = this.#options.sink.limits;
      const canRetry = isLoaded || this.#isRetryPaused;
      const due = canRetry ? parking.due(now, this.#position, records) : [];
      // In turns, so that neither waits for the other for ever.
      if (due.length > 0 && !this.#wasRetry) {
        this.#wasRetry = true;
        await work.retry(due);
        await this.#commitRetries(parking);
        continue;
      }
      this.#wasRetry = false;
      const cut = isLoaded && !parking.isFull(this.#position) ? this.#next(buffer, now) : undefined;
      if (cut !== undefined) {
        await this.#deliver(cut, buffer, work, parking);
      } else if (this.#isGone && (buffer.records === 0 || this.#plannedEnd !== undefined)) {
        await this.#passOver(buffer);
      } else if (due.length === 0) {
        await this.#idle(buffer, parking);
        await this.#wait(buffer, parking, isLoaded, canRetry);
      }
    }
  }

  /** The batch to write now, if there is one. */
  #next(buffer: LaneBuffer, now: number): Cut | undefined {
    const planned = this.#planned;
    if (planned !== undefined) {
      this.#planned = undefined;
      return planned;
    }
    if (this.#plannedEnd !== undefined) {
      const cut = buffer.cutTo(this.#plannedEnd);
      if (cut !== undefined) this.#plannedEnd = undefined;
      this.#hold(cut);
      return cut;
    }
    const readyAt = buffer.readyAt();
    if (readyAt === undefined || readyAt > now) return undefined;
    const cut = buffer.cut();
    this.#hold(cut);
    return cut;
  }

  async #deliver(cut: Cut, buffer: LaneBuffer, work: LaneWork, parking: Parking): Promise<void> {
    const { position, sink, clock, budget } = this.#options;
    const origin = sink.mode === 'planned' ? originOf(cut.records) : '';
    const range: OffsetRange = { start: cut.start, end: cut.end, epoch: this.#epoch, origin };
    const items = await work.prepare(cut.records);
    await this.#untilUp(() => position.begin(range));
    await work.settle(items, range);
    this.#settled = range.end;
    // Cut before the commit, which then carries its plan.
    const isStopping = this.#draining.signal.aborted || parking.isFull(range.end);
    if (sink.mode === 'planned' && !isStopping) this.#planned = this.#next(buffer, clock.now());
    await this.#untilUp(() => position.end(range, this.#planned?.end));
    this.#inFlight -= cut.bytes;
    budget.give(cut.bytes);
    this.#throttle(buffer);
  }

  async #commitRetries(parking: Parking): Promise<void> {
    const at = parking.position();
    if (at === this.#retryCommitted) return;
    await this.#untilUp(() => this.#options.retryPositions.commit(at));
    this.#retryCommitted = at;
  }

  async #idle(buffer: LaneBuffer, parking: Parking): Promise<void> {
    if (buffer.records === 0 && this.#planned === undefined && this.#plannedEnd === undefined) {
      const at = buffer.skip();
      await this.#untilUp(() => this.#options.position.idle(at));
      this.#settled = at;
    }
    if (parking.records === 0 && parking.next > 0n) await this.#commitRetries(parking);
  }

  /** Until there may be something to do. */
  async #wait(
    buffer: LaneBuffer,
    parking: Parking,
    isLoaded: boolean,
    canRetry: boolean,
  ): Promise<void> {
    const { clock } = this.#options;
    const times = [canRetry ? parking.dueAt(this.#position) : undefined];
    const isWaiting = this.#plannedEnd !== undefined || parking.isFull(this.#position);
    if (isLoaded && !isWaiting) times.push(buffer.readyAt());
    const until = Math.min(...times.map((at) => at ?? Number.POSITIVE_INFINITY));
    const ms = Math.min(LONG_MS, until - clock.now());
    if (ms > 0) await clock.sleep(ms, this.#alarm.signal);
  }

  #wake(): void {
    this.#alarm.abort();
  }

  #hold(cut: Cut | undefined): void {
    this.#inFlight += cut?.bytes ?? 0;
  }

  /** Stops fetching while two batches wait or the sink holds too much, but never short of a planned range's end. */
  #throttle(buffer: LaneBuffer): void {
    const { source, budget } = this.#options;
    const isPlanRead = this.#plannedEnd === undefined || buffer.next >= this.#plannedEnd;
    const isTooMuch = budget.exhausted && buffer.records > 0;
    if (isPlanRead && (buffer.full || isTooMuch)) {
      if (!this.#isPaused) source.pause();
      this.#isPaused = true;
    } else if (this.#isPaused && !this.#isGone && (buffer.low || !isPlanRead)) {
      this.#isPaused = false;
      source.resume();
    }
    if (this.#isPaused && budget.exhausted) budget.whenFree(this.#onFree);
  }

  readonly #onFree = (): void => {
    if (this.#buffer !== undefined && !this.#draining.signal.aborted) this.#throttle(this.#buffer);
  };

  #giveBack(): void {
    this.#options.budget.give((this.#buffer?.bytes ?? 0) + this.#inFlight);
    this.#inFlight = 0;
    this.#buffer = undefined;
  }

  async #untilUp<T>(work: () => Promise<T>): Promise<T> {
    return untilUp(this.#options, this.#draining.signal, () => {
      if (this.#isDead) throw new LaneEnded();
      return work();
    });
  }
}
