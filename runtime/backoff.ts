import { setTimeout as delay } from 'node:timers/promises';

export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** Exponential back-off with full jitter: ms to wait before attempt `attempt` (1 is the first retry). */
export function backoffMs(attempt: number, { initialMs, maxMs }: BackoffOptions): number {
  const ceiling = Math.min(maxMs, initialMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(ceiling / 2 + (Math.random() * ceiling) / 2);
}

/** Waits `ms`, or until `signal` aborts, calling `heartbeat` about every 2 s so that a consumer keeps its place in the group. */
export async function waitWithHeartbeat(
  ms: number,
  heartbeat: () => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const end = Date.now() + ms;
  const options = signal === undefined ? {} : { signal };
  for (let left = ms; left > 0; left = end - Date.now()) {
    await delay(Math.min(left, 2_000), undefined, options).catch(() => undefined);
    if (signal?.aborted === true) return;
    await heartbeat();
  }
}

/** Awaits `work` while calling `heartbeat` every 2 s. */
export async function awaitWithHeartbeat<T>(
  work: Promise<T>,
  heartbeat: () => Promise<void>,
): Promise<T> {
  let settled = false;
  const done = work.finally(() => {
    settled = true;
  });
  while (!settled) {
    const timer = new AbortController();
    await Promise.race([
      done.then(
        () => undefined,
        () => undefined,
      ),
      delay(2_000, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    timer.abort();
    if (!settled) await heartbeat();
  }
  return done;
}

/** Waits until all have settled, for so many ms at most. */
export async function settledWithin(ms: number, work: readonly Promise<unknown>[]): Promise<void> {
  if (work.length === 0) return;
  const timer = new AbortController();
  const bound = delay(ms, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([Promise.allSettled(work), bound]);
  timer.abort();
}
