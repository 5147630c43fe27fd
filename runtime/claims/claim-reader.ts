import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import PQueue from 'p-queue';
import type { PayloadRef, PayloadSource } from '../../schemas/payloads.ts';
import type { CheckpointStorage } from '../checkpoint/storage.ts';
import { errorCode, ReachflowError } from '../errors.ts';
import type { ClaimMetrics } from '../observability/claim-metrics.ts';
import type { ClaimCheckConfig } from './config.ts';
import { corrupt, expired, notFound, storageUnavailable } from './errors.ts';
import { endOfDay, keyOf } from './layout.ts';
import { RecentTexts } from './recent-texts.ts';

const DAY_MS = 86_400_000;
/** What has another hash is read again: a network file system may give half of what was just written. */
const ATTEMPTS = 3;
const AGAIN_MS = 50;

export interface ClaimReaderOptions {
  readonly storage: CheckpointStorage;
  readonly config: Pick<ClaimCheckConfig, 'concurrency' | 'cacheBytes' | 'retentionDays'>;
  readonly metrics?: ClaimMetrics | undefined;
  /** ms since the epoch; the system clock by default. */
  readonly clock?: () => number;
}

/** Reads payloads by their references, and verifies each. */
export class ClaimReader implements PayloadSource {
  readonly #options: ClaimReaderOptions;
  readonly #queue: PQueue;
  readonly #recent: RecentTexts;
  readonly #reading = new Map<string, Promise<string>>();
  readonly #clock: () => number;

  constructor(options: ClaimReaderOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.config.concurrency });
    this.#recent = new RecentTexts(options.config.cacheBytes);
    this.#clock = options.clock ?? Date.now;
  }

  /** See `PayloadSource.read`. Concurrent reads of the same are one. */
  async read(ref: PayloadRef): Promise<string> {
    const { metrics } = this.#options;
    const key = keyOf(ref);
    const known = this.#recent.get(key);
    if (known !== undefined) {
      metrics?.cached();
      return known;
    }
    let reading = this.#reading.get(key);
    if (reading === undefined) {
      reading = this.#queue.add(() => this.#load(key, ref));
      this.#reading.set(key, reading);
      const over = () => void this.#reading.delete(key);
      reading.then(over, over);
    }
    return reading;
  }

  async #load(key: string, ref: PayloadRef): Promise<string> {
    const { metrics } = this.#options;
    try {
      const bytes = await this.#verified(key, ref);
      metrics?.read(bytes.length);
      const text = bytes.toString('utf8');
      this.#recent.add(key, text, bytes.length);
      return text;
    } catch (error) {
      metrics?.failed(errorCode(error) ?? 'UNKNOWN');
      throw error;
    }
  }

  async #verified(key: string, ref: PayloadRef): Promise<Buffer> {
    const { storage, config } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const bytes = await this.#get(key, ref);
      if (bytes === undefined) {
        const isOver = this.#clock() > endOfDay(ref.day) + config.retentionDays * DAY_MS;
        throw isOver
          ? expired(ref, storage.location, config.retentionDays)
          : notFound(ref, storage.location);
      }
      const fault = faultOf(bytes, ref);
      if (fault === undefined) return bytes;
      if (attempt === ATTEMPTS) throw corrupt(ref, storage.location, fault);
      await delay(AGAIN_MS * attempt);
    }
  }

  /** Undefined when there is none; what is longer than it should be is cut, and found to be damaged. */
  async #get(key: string, { bytes }: PayloadRef): Promise<Buffer | undefined> {
    const { storage } = this.#options;
    try {
      return await storage.getBytes(key, bytes);
    } catch (error) {
      if (error instanceof ReachflowError && error.code === 'CHECKPOINT_CORRUPT')
        return Buffer.alloc(0);
      throw storageUnavailable('read a payload', storage.location, error);
    }
  }
}

/** What is wrong with what was read; undefined where it is what was written. */
function faultOf(found: Buffer, { sha256, bytes }: PayloadRef): string | undefined {
  if (found.length !== bytes) return `it has not ${bytes} bytes`;
  const hash = createHash('sha256').update(found).digest('hex');
  return hash === sha256 ? undefined : `its SHA-256 is ${hash}`;
}
