import type { Logger } from 'pino';
import { ReachflowError } from '../errors.ts';
import type { OutgoingRecord } from '../kafka/record.ts';
import { type Clock, jittered } from './clock.ts';
import type { DeliveryConfig } from './config.ts';
import type { Decode } from './decode.ts';
import type { Sink } from './sink.ts';
import type { StoreGate } from './store-gate.ts';

/** What a lane has in common with its work on batches and retries. */
export interface LaneContext {
  /** Logical name, a key of `schemas/topics.ts`. */
  readonly topic: string;
  readonly partition: number;
  readonly sink: Sink;
  readonly gate: StoreGate;
  readonly config: DeliveryConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly decode: Decode;
  /** Resolves when all are acknowledged, in their order. @throws ReachflowError `KAFKA_UNAVAILABLE` (retry: backoff). */
  publish(records: readonly OutgoingRecord[]): Promise<void>;
  /** End of the retry topic's partition, undecided transactions included. @throws as `publish`. */
  retryEnd(): Promise<bigint>;
  /** Records are in the DLQ. @param codes of their errors. */
  deadLettered(codes: readonly string[]): void;
  /** Records are in the store, or settled there. */
  delivered(records: number): void;
  /** A batch is done with: so many of it have found their end, and so many of these are in the DLQ. */
  settled(records: number, rejected: number): void;
}

/** Unwinds a lane that has lost its partition or is stopped: nothing failed. */
export class LaneEnded extends Error {
  constructor() {
    super('the lane has ended');
    this.name = 'LaneEnded';
  }
}

const UP_BACKOFF = { initialMs: 100, maxMs: 5_000 };

/**
 * Repeats what depends on brokers, registry or store until it works.
 * @throws LaneEnded once `ended` has aborted; whatever `work` throws that no repetition helps.
 */
export async function untilUp<T>(
  {
    clock,
    logger,
    topic,
    partition,
  }: Pick<LaneContext, 'clock' | 'logger' | 'topic' | 'partition'>,
  ended: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ReachflowError) || error.retry !== 'backoff') throw error;
      if (ended.aborted) throw new LaneEnded();
      const { code, message } = error;
      logger.warn({ topic, partition, attempt, code, error: message }, 'waiting to go on');
      await clock.sleep(jittered(clock, attempt, UP_BACKOFF), ended);
      if (ended.aborted) throw new LaneEnded();
    }
  }
}
