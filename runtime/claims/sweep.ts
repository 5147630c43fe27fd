import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { CheckpointStorage } from '../checkpoint/storage.ts';
import { errorMessage } from '../errors.ts';
import type { ClaimMetrics } from '../observability/claim-metrics.ts';
import type { ClaimCheckConfig } from './config.ts';
import { dayOfDirectory, endOfDay } from './layout.ts';

const DAY_MS = 86_400_000;

export interface SweepOptions {
  readonly retentionDays: number;
  /** ms since the epoch. */
  readonly now: number;
  /** Counts only. */
  readonly dryRun?: boolean;
  readonly metrics?: ClaimMetrics | undefined;
  /** Ends it early; what is left is for the next sweep. */
  readonly signal?: AbortSignal | undefined;
  /** Called behind each part of a day. */
  readonly onProgress?: (swept: Swept) => void;
}

/** What was removed, or would be. */
export interface Swept {
  /** As directories: `2026-11-21`. */
  readonly days: readonly string[];
  readonly objects: number;
  readonly bytes: number;
}

/**
 * Removes the payloads of days that are over for longer than the retention. Nothing is written to such a day any more, so it
 * needs no lock: writers, readers and other sweepers go on beside it.
 * @throws ReachflowError as the storage does.
 */
export async function sweepClaims(
  storage: CheckpointStorage,
  { retentionDays, now, dryRun = false, metrics, signal, onProgress }: SweepOptions,
): Promise<Swept> {
  let swept: Swept = { days: [], objects: 0, bytes: 0 };
  for (const name of await storage.directories('')) {
    const day = dayOfDirectory(name);
    if (day === undefined || endOfDay(day) + retentionDays * DAY_MS > now) continue;
    swept = { ...swept, days: [...swept.days, name] };
    for (const part of await storage.directories(`${name}/`)) {
      if (signal?.aborted === true) return swept;
      const prefix = `${name}/${part}/`;
      const objects = await storage.list(prefix);
      const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
      if (!dryRun) {
        await storage.removePrefix(prefix);
        metrics?.swept(objects.length, bytes);
      }
      swept = {
        ...swept,
        objects: swept.objects + objects.length,
        bytes: swept.bytes + bytes,
      };
      onProgress?.(swept);
    }
    if (!dryRun) await storage.removePrefix(`${name}/`);
  }
  return swept;
}

export interface SweeperOptions {
  readonly storage: CheckpointStorage;
  readonly config: Pick<ClaimCheckConfig, 'retentionDays' | 'sweepIntervalMs'>;
  readonly logger: Logger;
  readonly metrics?: ClaimMetrics | undefined;
}

/** Sweeps now and at each interval. @returns what ends it, and waits for the sweep under way. */
export function startSweeper(options: SweeperOptions): () => Promise<void> {
  const over = new AbortController();
  const running = sweepForEver(options, over.signal);
  return async () => {
    over.abort();
    await running;
  };
}

async function sweepForEver(
  { storage, config, logger, metrics }: SweeperOptions,
  signal: AbortSignal,
): Promise<void> {
  const { retentionDays, sweepIntervalMs } = config;
  while (!signal.aborted) {
    try {
      const swept = await sweepClaims(storage, { retentionDays, now: Date.now(), metrics, signal });
      if (swept.objects > 0) logger.info({ ...swept }, 'removed payloads past their retention');
    } catch (error) {
      logger.warn({ error: errorMessage(error) }, 'payloads past their retention stay for now');
    }
    await delay(sweepIntervalMs, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
