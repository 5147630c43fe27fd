import { ReachflowError } from '../errors.ts';
import type { InputStatus } from '../observability/process-status.ts';
import { type BufferBudget, type Cut, LaneBuffer } from './lane-buffer.ts';
import { type LaneContext, LaneEnded, untilUp } from './lane-context.ts';
import type { Fetched, LaneSource } from './lane-source.ts';
import { LaneWork } from './lane-work.ts';
import { originOf } from './planned-position.ts';
import type { GroupPositions, PlannedRange, PositionProtocol } from './position.ts';
import { LOST, RetryLane, type RetryLaneOptions } from './retry-lane.ts';
import type { OffsetRange } from './sink.ts';

export interface LaneOptions extends Omit<RetryLaneOptions, 'retryEnd'> {
  readonly position: PositionProtocol;
  /** Of its own topic. */
  readonly positions: Pick<GroupPositions, 'committed'>;
  readonly budget: BufferBudget;
  readonly source: LaneSource;
  /** Called once when the lane gave up for good. */
  readonly onFatal: (error: unknown) => void;
}

/** A batch that is written next. */
interface Planned {
  readonly cut: Cut;
  readonly origin: string;
  /** See `PlannedRange.seen`; undefined for one of its own. */
  readonly seen: bigint | undefined;
}

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
  #retries: RetryLane | undefined;
  #work: LaneWork | undefined;
  /** Of an owner before, until it is read. */
  #found: PlannedRange | undefined;
  #planned: Planned | undefined;
  #epoch = 0n;
  #inFlight = 0;
  #isPaused = true;
  /** Where a fetch did not begin that was sought: the second time in a row nothing is there any more. */
  #gap: bigint | undefined;
  #isGone = false;
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
    return this.#retries?.parking.keys ?? 0;
  }

  get parkedRecords(): number {
    return this.#retries?.parking.records ?? 0;
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

  /** What was fetched of its retry topic. Never waits. */
  pushRetries(fetched: Fetched): void {
    if (this.#retries === undefined || this.#draining.signal.aborted) return;
    this.#retries.push(fetched, this.#position);
    this.#wake();
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
    this.#found = start.planned;
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

  /** What waits in the retry topic is read before anything is written: later records of its keys have to wait, too. */
  async #openRetries(): Promise<void> {
    if (this.#retries !== undefined) return;
    const publish: LaneContext['publish'] = async (letters) => {
      if (this.#isDead) throw new LaneEnded();
      await this.#options.publish(letters);
    };
    const retryEnd = async () => (await this.#options.retryPositions.committed()).end;
    const context = { ...this.#options, publish, retryEnd };
    const retries = await RetryLane.open(context, (work) => this.#untilUp(work));
    this.#work = new LaneWork(context, retries.parking, this.#draining.signal);
    this.#retries = retries;
  }

  async #serve(): Promise<void> {
    const [buffer, retries, work] = [this.#buffer, this.#retries, this.#work];
    if (buffer === undefined || retries === undefined || work === undefined) return;
    const { parking } = retries;
    const { signal } = this.#draining;
    while (!signal.aborted) {
      // Whatever comes from here on cuts the next wait short.
      if (this.#alarm.signal.aborted) this.#alarm = new AbortController();
      const now = this.#options.clock.now();
      await retries.passOver();
      retries.throttle(this.#position);
      // In turns, so that neither waits for the other for ever.
      const wasRetry = this.#wasRetry;
      this.#wasRetry = !wasRetry && (await retries.try(work, now, this.#position));
      if (this.#wasRetry) continue;
      const isOpen = parking.isLoaded && !parking.isFull(this.#position);
      const next = isOpen ? this.#next(buffer, now) : undefined;
      if (next !== undefined) {
        await this.#deliver(next, buffer, work, retries);
      } else if (this.#isGone && (buffer.records === 0 || this.#found !== undefined)) {
        await this.#passOver(buffer);
      } else if (!wasRetry) {
        await this.#idle(buffer, retries);
        await this.#wait(buffer, retries);
      }
    }
  }

  /** The batch to write now, if there is one. */
  #next(buffer: LaneBuffer, now: number): Planned | undefined {
    const planned = this.#planned;
    if (planned !== undefined) {
      this.#planned = undefined;
      return planned;
    }
    const found = this.#found;
    if (found !== undefined) {
      const cut = buffer.cutTo(found.end);
      if (cut === undefined) return undefined;
      this.#found = undefined;
      return this.#hold(cut, found);
    }
    const readyAt = buffer.readyAt();
    if (readyAt === undefined || readyAt > now) return undefined;
    const cut = buffer.cut();
    return cut === undefined ? undefined : this.#hold(cut);
  }

  /** @param found as it was planned by an owner before. */
  #hold(cut: Cut, found?: PlannedRange): Planned {
    this.#inFlight += cut.bytes;
    const origin = this.#options.sink.mode === 'planned' ? originOf(cut.records) : '';
    return { cut, origin: found?.origin ?? origin, seen: found?.seen };
  }

  async #deliver(
    { cut, origin, seen }: Planned,
    buffer: LaneBuffer,
    work: LaneWork,
    { parking }: RetryLane,
  ): Promise<void> {
    const { position, sink, clock, budget } = this.#options;
    const range: OffsetRange = { start: cut.start, end: cut.end, epoch: this.#epoch, origin };
    const prepared = await work.prepare(cut.records, seen);
    const begin = (isLess: boolean) =>
      this.#untilUp(() => position.begin(range, prepared.seen, isLess));
    await begin(prepared.isLess);
    await work.settle(prepared.items, range, () => begin(true));
    this.#settled = range.end;
    // Cut before the commit, which then carries its plan.
    const isStopping = this.#draining.signal.aborted || parking.isFull(range.end);
    if (sink.mode === 'planned' && !isStopping) this.#planned = this.#next(buffer, clock.now());
    const next = this.#planned;
    const plan = next && { end: next.cut.end, origin: next.origin, seen: parking.next };
    await this.#untilUp(() => position.end(range, plan));
    this.#inFlight -= cut.bytes;
    budget.give(cut.bytes);
    this.#throttle(buffer);
  }

  async #idle(buffer: LaneBuffer, retries: RetryLane): Promise<void> {
    if (buffer.records === 0 && this.#planned === undefined && this.#found === undefined) {
      const at = buffer.skip();
      await this.#untilUp(() => this.#options.position.idle(at));
      this.#settled = at;
    }
    if (retries.parking.records === 0) await retries.commit();
  }

  /** Until there may be something to do. */
  async #wait(buffer: LaneBuffer, { parking, isReady }: RetryLane): Promise<void> {
    const { clock } = this.#options;
    const times = [isReady ? parking.dueAt(this.#position) : undefined];
    const isWaiting = this.#found !== undefined || parking.isFull(this.#position);
    if (parking.isLoaded && !isWaiting) times.push(buffer.readyAt());
    const until = Math.min(...times.map((at) => at ?? Number.POSITIVE_INFINITY));
    const ms = Math.min(LONG_MS, until - clock.now());
    if (ms > 0) await clock.sleep(ms, this.#alarm.signal);
  }

  #wake(): void {
    this.#alarm.abort();
  }

  /** Stops fetching while two batches wait or the sink holds too much, but never short of a planned range's end. */
  #throttle(buffer: LaneBuffer): void {
    const { source, budget } = this.#options;
    const isPlanRead = this.#found === undefined || buffer.next >= this.#found.end;
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
