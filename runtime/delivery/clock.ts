import { setTimeout as delay } from 'node:timers/promises';
import type { BackoffOptions } from '../backoff.ts';

/** Time and chance, so that simulations can decide both. */
export interface Clock {
  /** ms since the epoch. */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** 0 <= n < 1. */
  random(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined),
  random: () => Math.random(),
};

/** Exponential back-off with jitter over its upper half: ms to wait after failure number `failures` (1…). */
export function jittered(clock: Clock, failures: number, { initialMs, maxMs }: BackoffOptions) {
  const ceiling = Math.min(maxMs, initialMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling / 2 + (clock.random() * ceiling) / 2);
}
