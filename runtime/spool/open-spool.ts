import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { settledWithin } from '../backoff.ts';
import { errorCode, errorMessage } from '../errors.ts';
import type { Publisher } from '../kafka/publisher.ts';
import type { SpoolConfig } from './config.ts';
import { DrainLoop } from './drain-loop.ts';
import { spoolLocked } from './errors.ts';
import { SegmentLog, type SegmentLogOptions } from './segment-log.ts';
import { parseSegmentName } from './segment-writer.ts';
import {
  SpoolingPublisher,
  type SpoolingPublisherOptions,
  type SpoolStanding,
} from './spooling-publisher.ts';

export interface SpoolOptions extends Omit<SpoolingPublisherOptions, 'log' | 'config'> {
  readonly config: SpoolConfig;
}

/** A publisher with a spool behind it. */
export interface Spool extends Publisher {
  readonly standing: SpoolStanding;
  /** What was taken is finished; what is on disk stays for the next process. Idempotent. */
  close(): Promise<void>;
}

/** As many processes may share a directory; `reachflow run` starts no more on a host. */
const MAX_PLACES = 64;
/** How often places are looked at whose process is gone, ms. */
const ORPHANS_MS = 30_000;
const STOP_MS = 3_000;

/**
 * Takes the first place in the directory that no process has, and drains what is there; later, too, what processes
 * that are gone have left in other places.
 * @throws ReachflowError `SPOOL_LOCKED` when all places are taken, `SPOOL_UNAVAILABLE` (both retry: backoff).
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { config } = options;
  const dir = resolve(config.dir);
  const { place, log } = await firstFree(dir, { ...config, logger: options.logger });
  const publisher = new SpoolingPublisher({ ...options, log });
  const over = new AbortController();
  const adopting = adoptOrphans(dir, place, options, over.signal);
  return {
    publish: (topic, record) => publisher.publish(topic, record),
    get standing() {
      return publisher.standing;
    },
    async close() {
      over.abort();
      await publisher.close();
      await settledWithin(STOP_MS, [adopting]);
    },
  };
}

type LogOptions = Omit<SegmentLogOptions, 'dir'>;

async function firstFree(
  dir: string,
  options: LogOptions,
): Promise<{ place: string; log: SegmentLog }> {
  for (let number = 0; number < MAX_PLACES; number += 1) {
    const place = String(number);
    const log = await openFree(join(dir, place), options);
    if (log !== undefined) return { place, log };
  }
  throw spoolLocked(dir, undefined);
}

/** Undefined where another process has it. */
async function openFree(dir: string, options: LogOptions): Promise<SegmentLog | undefined> {
  try {
    return await SegmentLog.open({ ...options, dir });
  } catch (error) {
    if (errorCode(error) === 'SPOOL_LOCKED') return undefined;
    throw error;
  }
}

/** Until `signal` aborts: a process with fewer workers than before would never come to the places of the others. */
async function adoptOrphans(
  dir: string,
  own: string,
  options: SpoolOptions,
  signal: AbortSignal,
): Promise<void> {
  const { logger } = options;
  while (!signal.aborted) {
    try {
      for (const place of await readdir(dir)) {
        if (place !== own && !signal.aborted) await adopt(join(dir, place), options, signal);
      }
    } catch (error) {
      logger.warn({ dir, error: errorMessage(error) }, 'other places of the spool cannot be read');
    }
    await delay(ORPHANS_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

async function adopt(dir: string, options: SpoolOptions, signal: AbortSignal): Promise<void> {
  const { client, topic, logger, config } = options;
  const files = await readdir(dir).catch(() => []);
  if (!files.some((file) => parseSegmentName(file) !== undefined)) return;
  const log = await openFree(dir, { ...config, logger });
  if (log === undefined) return;
  const found = log.standing;
  const onPass = () => log.isEmpty;
  const loop = new DrainLoop({
    ...{ client, log, topic, logger, signal },
    onPass,
    onFailure: () => undefined,
  });
  try {
    loop.start();
    await loop.stopped;
    if (!signal.aborted)
      logger.info({ dir, records: found.records }, 'drained what another process had spooled');
  } finally {
    await log.close();
  }
}
