import { createHash } from 'node:crypto';
import PQueue from 'p-queue';
import type { Logger } from 'pino';
import type { PayloadRef } from '../../schemas/payloads.ts';
import type { CheckpointStorage } from '../checkpoint/storage.ts';
import { errorMessage } from '../errors.ts';
import type { ClaimMetrics } from '../observability/claim-metrics.ts';
import type { ClaimCheckConfig } from './config.ts';
import { storageUnavailable } from './errors.ts';
import { dayOf, keyOf } from './layout.ts';

/** Keys of which it is known that they are stored, at most. */
const MAX_KNOWN = 20_000;
/** Payloads that wait for the storage, for each that is being written; more go into the topic. */
const MAX_WAITING = 32;
/** After a failure one payload tries the storage in so long a time, ms; the others go into the topic. */
const AWAY_MS = 5_000;

export interface ClaimWriterOptions {
  readonly storage: CheckpointStorage;
  readonly config: Pick<ClaimCheckConfig, 'thresholdBytes' | 'writeTimeoutMs' | 'concurrency'>;
  readonly logger: Logger;
  readonly metrics?: ClaimMetrics | undefined;
  /** ms since the epoch; the system clock by default. */
  readonly clock?: () => number;
}

/** Stores large payloads by their content, each once a day and process. */
export class ClaimWriter {
  readonly #options: ClaimWriterOptions;
  readonly #queue: PQueue;
  readonly #clock: () => number;
  /** Stored, oldest first: what comes again, as senders repeat themselves, is not written again. */
  readonly #known = new Set<string>();
  readonly #writing = new Map<string, Promise<void>>();
  #failedAt: number | undefined;

  constructor(options: ClaimWriterOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.config.concurrency });
    this.#clock = options.clock ?? Date.now;
  }

  /** Whether a payload is larger than the threshold. */
  isLarge(payload: string): boolean {
    const { thresholdBytes } = this.#options.config;
    if (payload.length > thresholdBytes) return true;
    // A UTF-16 unit has at most three bytes in UTF-8.
    return payload.length * 3 > thresholdBytes && Buffer.byteLength(payload) > thresholdBytes;
  }

  /**
   * Stores a payload, durably: once this resolves, a record may refer to it.
   * @returns undefined where the storage did not take it in time: the payload goes into the topic then, which takes any that
   *   is accepted. An event is never refused for the storage's sake. Never throws.
   */
  async store(payload: string): Promise<PayloadRef | undefined> {
    const { metrics } = this.#options;
    const bytes = Buffer.from(payload, 'utf8');
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const ref = { sha256, day: dayOf(this.#clock()), bytes: bytes.length };
    const key = keyOf(ref);
    if (this.#known.has(key)) {
      metrics?.deduplicated();
      return ref;
    }
    if (this.#isAway()) {
      metrics?.keptInline('away');
      return undefined;
    }
    if (await this.#inTime(this.#write(key, bytes))) return ref;
    metrics?.keptInline('failed');
    return undefined;
  }

  /** One of those that come while it is away tries it now and then. */
  #isAway(): boolean {
    const { size } = this.#queue;
    if (size > MAX_WAITING * this.#options.config.concurrency) return true;
    if (this.#failedAt === undefined) return false;
    const now = this.#clock();
    if (now - this.#failedAt < AWAY_MS) return true;
    this.#failedAt = now;
    return false;
  }

  /** Concurrent writes of the same are one. */
  #write(key: string, bytes: Buffer): Promise<void> {
    const underWay = this.#writing.get(key);
    if (underWay !== undefined) {
      this.#options.metrics?.deduplicated();
      return underWay;
    }
    const writing = this.#queue.add(() => this.#put(key, bytes));
    const done = writing.finally(() => this.#writing.delete(key));
    this.#writing.set(key, done);
    return done;
  }

  async #put(key: string, bytes: Buffer): Promise<void> {
    const { storage, metrics } = this.#options;
    await storage.putBytes(key, bytes);
    metrics?.wrote(bytes.length);
    this.#failedAt = undefined;
    this.#known.add(key);
    for (const oldest of this.#known) {
      if (this.#known.size <= MAX_KNOWN) return;
      this.#known.delete(oldest);
    }
  }

  /** False where it fails, or takes too long: what is written late is an object that nothing refers to. */
  async #inTime(writing: Promise<void>): Promise<boolean> {
    const { storage, config } = this.#options;
    const { promise: timedOut, reject } = Promise.withResolvers<never>();
    const late = () => reject(new Error(`not within ${config.writeTimeoutMs} ms`));
    const timer = setTimeout(late, config.writeTimeoutMs);
    try {
      await Promise.race([writing, timedOut]);
      return true;
    } catch (error) {
      writing.catch(() => undefined);
      this.#failed(storageUnavailable('store a payload', storage.location, error));
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  #failed(error: Error): void {
    const { logger } = this.#options;
    if (this.#failedAt === undefined)
      logger.warn({ error: errorMessage(error) }, 'large payloads go into the topic');
    this.#failedAt = this.#clock();
    // It may come back empty.
    this.#known.clear();
  }
}
