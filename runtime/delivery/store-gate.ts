import PQueue from 'p-queue';
import type { Logger } from 'pino';
import { errorMessage, ReachflowError } from '../errors.ts';
import type { KafkaRecord } from '../kafka/record.ts';
import type { BatchWork, Tracing } from '../observability/tracing.ts';
import { type Clock, jittered } from './clock.ts';
import type { DeliveryConfig } from './config.ts';
import type { RecordResult, Sink, SinkBatch } from './sink.ts';
import { type BreakerState, StoreBreaker } from './store-breaker.ts';

/** What a sink counts, in plain numbers. */
export interface SinkCounts {
  delivered: number;
  deadLettered: number;
  /** Batches that the store could not take and that were offered again. */
  retries: number;
  /** Records that were sent to the retry topic because of their own failure. */
  recordRetries: number;
  /** ms since the epoch of the oldest failure of the store that is not over; 0 when it is well. */
  sickSince: number;
  /** How often the breaker got into a state. */
  readonly breakerChanges: Record<BreakerState, number>;
}

/** What became of a batch. */
export interface Written {
  /** One per record, in order. */
  readonly results: readonly RecordResult[];
  /** Set when the store could not take anything now. */
  readonly sick: ReachflowError | undefined;
}

export interface StoreGateOptions {
  readonly sink: Sink;
  readonly config: DeliveryConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tracing?: Tracing | undefined;
  /** A batch was offered to the store, whatever became of it. */
  readonly wrote?: (records: number, ms: number) => void;
}

/**
 * The way of all lanes to their store: as many writes at once as the sink has writers, first come first served, and as few
 * as the breaker allows.
 */
export class StoreGate {
  readonly counts: SinkCounts = {
    delivered: 0,
    deadLettered: 0,
    retries: 0,
    recordRetries: 0,
    sickSince: 0,
    breakerChanges: { closed: 0, 'half-open': 0, open: 0 },
  };
  readonly #options: StoreGateOptions;
  readonly #writers: PQueue;
  readonly #breaker: StoreBreaker;

  constructor(options: StoreGateOptions) {
    this.#options = options;
    this.#writers = new PQueue({ concurrency: Math.max(1, options.sink.writers) });
    const { breaker } = options.config;
    this.#breaker = new StoreBreaker(breaker, options.clock, (state) => this.#onBreaker(state));
  }

  get breaker(): StoreBreaker['state'] {
    return this.#breaker.state;
  }

  /**
   * Offers a batch once, when its turn comes.
   * @returns undefined when `signal` aborted before.
   * @throws what the sink throws: `SINK_FENCED`, or a bug.
   */
  async write(
    batch: SinkBatch,
    origins: readonly KafkaRecord[],
    signal: AbortSignal,
  ): Promise<Written | undefined> {
    while (!signal.aborted) {
      const tried = await this.#writers.add(() => this.#tryOnce(batch, origins, signal));
      if (typeof tried === 'object') return tried;
      await this.#options.clock.sleep(tried, signal);
    }
    return undefined;
  }

  /** Waits as long as failure number `failures` in a row asks for. */
  async backOff(failures: number, signal: AbortSignal): Promise<void> {
    const { clock, config } = this.#options;
    const { retryInitialMs: initialMs, retryMaxMs: maxMs } = config;
    await clock.sleep(jittered(clock, failures, { initialMs, maxMs }), signal);
  }

  /** A number is how long the breaker wants to be left alone, ms. */
  async #tryOnce(
    batch: SinkBatch,
    origins: readonly KafkaRecord[],
    signal: AbortSignal,
  ): Promise<Written | number> {
    if (signal.aborted) return 0;
    const settle = this.#breaker.enter();
    if (typeof settle === 'number') return settle;
    // What a sink throws beside is no failure of the store: one that fences an owner is well.
    let sick = false;
    try {
      const written = await this.#offer(batch, origins);
      sick = written.sick !== undefined;
      return written;
    } finally {
      settle(!sick);
    }
  }

  async #offer(batch: SinkBatch, origins: readonly KafkaRecord[]): Promise<Written> {
    const { sink, clock, wrote } = this.#options;
    const trace = this.#trace(origins);
    const began = clock.now();
    let results: readonly RecordResult[];
    try {
      results = await sink.write(batch);
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry === 'none') throw error;
      results = batch.records.map(() => ({ status: 'retry', of: 'store', error }) as const);
      trace?.fail(error);
      return { results, sick: this.#noteSick(batch, error) };
    }
    wrote?.(batch.records.length, clock.now() - began);
    if (results.length !== batch.records.length) {
      throw new Error(
        `sink ${sink.name} answered ${results.length} of ${batch.records.length} records`,
      );
    }
    const sick = results.find((result) => result.status === 'retry' && result.of === 'store');
    if (sick?.status !== 'retry') {
      this.counts.sickSince = 0;
      trace?.end({ 'reachflow.records': batch.records.length });
      return { results, sick: undefined };
    }
    trace?.fail(sick.error);
    return { results, sick: this.#noteSick(batch, sick.error) };
  }

  #onBreaker(state: BreakerState): void {
    this.counts.breakerChanges[state] += 1;
    const { logger, config } = this.#options;
    if (state === 'open') {
      const { openMs } = config.breaker;
      logger.warn({ breaker: state, openMs }, 'most writes fail: the store is left alone');
    } else {
      logger.info(
        { breaker: state },
        state === 'closed' ? 'the store is well' : 'probing the store',
      );
    }
  }

  #noteSick(batch: SinkBatch, error: ReachflowError): ReachflowError {
    const { counts } = this;
    if (counts.sickSince === 0) counts.sickSince = this.#options.clock.now();
    counts.retries += 1;
    const { topic, partition, records } = batch;
    this.#options.logger.warn(
      { topic, partition, records: records.length, code: error.code, error: errorMessage(error) },
      'store could not take the batch, trying again',
    );
    return error;
  }

  #trace(origins: readonly KafkaRecord[]): BatchWork | undefined {
    const { tracing, sink } = this.#options;
    if (tracing?.enabled !== true) return undefined;
    const trace = tracing.batch(`write ${sink.name}`);
    for (const { headers } of origins) trace.carry(headers);
    return trace;
  }
}
