import { setTimeout as delay } from 'node:timers/promises';
import { killComponent, startComponent } from '../compose/stack.ts';
import type { Random } from '../demo/input/random.ts';
import type { Fleet } from './fleet.ts';
import type { Store, StoreLinks } from './links.ts';
import {
  CALM_MS,
  type Fault,
  faultText,
  LATE_MIN_MS,
  LATE_SPAN_MS,
  lastsMs,
  type PlannedFault,
} from './schedule.ts';

export interface InflictOptions {
  /** Of the stack. */
  readonly dir: string;
  readonly fleet: Fleet;
  /** The workers' ways to the stores. */
  readonly links: StoreLinks;
  /** Chooses the worker, and how late an answer is. */
  readonly random: Random;
  readonly onFault: (text: string) => void;
  readonly signal: AbortSignal;
}

/** What engines take to start, and some more, ms. */
const START_MS = 15_000;

/** Carries out a plan. Afterwards every engine runs again, whatever happened. @returns how many faults there were. */
export async function inflict(
  plan: readonly PlannedFault[],
  options: InflictOptions,
): Promise<number> {
  let count = 0;
  for (const { afterMs, fault } of plan) {
    await delay(afterMs, undefined, { signal: options.signal }).catch(() => undefined);
    if (options.signal.aborted) return count;
    options.onFault(faultText(fault));
    await strike(fault, options);
    count += 1;
  }
  await delay(CALM_MS, undefined, { signal: options.signal }).catch(() => undefined);
  return count;
}

async function strike(fault: Fault, options: InflictOptions): Promise<void> {
  const { dir, fleet, random, signal } = options;
  if (fault.kind === 'kill-engine') {
    await killComponent(dir, fault.engine, 'SIGKILL');
    await delay(fault.downMs, undefined, { signal }).catch(() => undefined);
    await startComponent(dir, fault.engine);
    return;
  }
  if (fault.kind === 'freeze-engine') {
    await killComponent(dir, fault.engine, 'SIGSTOP');
    await delay(fault.forMs, undefined, { signal }).catch(() => undefined);
    await killComponent(dir, fault.engine, 'SIGCONT');
    return;
  }
  if (fault.kind === 'outage') return outage(fault.stores, fault.downMs, options);
  if (fault.kind === 'slow') return slow(fault.stores, fault.forMs, options);
  const { alive } = fleet;
  if (alive.length === 0) return;
  const worker = random.pick(alive);
  if (fault.kind === 'freeze-worker') await fleet.freeze(worker, lastsMs(fault));
  else await fleet.end(worker, fault.kind === 'kill-worker' ? 'SIGKILL' : 'SIGTERM');
}

async function outage(
  stores: readonly Store[],
  downMs: number,
  { dir, links, signal }: InflictOptions,
): Promise<void> {
  const killed = stores.filter((store) => store !== 'postgres');
  const wait = (ms: number) => delay(ms, undefined, { signal }).catch(() => undefined);
  for (const store of stores) await links.cut(store);
  for (const store of killed) await killComponent(dir, store, 'SIGKILL');
  // Up when it is reached again: a breaker that opened at once has then just begun to probe.
  const back = performance.now() + downMs;
  await wait(downMs - START_MS);
  for (const store of killed) await startComponent(dir, store);
  await wait(Math.max(0, back - performance.now()));
  for (const store of stores) await links.restore(store);
}

async function slow(
  stores: readonly Store[],
  forMs: number,
  { links, random, signal }: InflictOptions,
): Promise<void> {
  for (const store of stores) links.slowDown(store, () => LATE_MIN_MS + random.int(LATE_SPAN_MS));
  await delay(forMs, undefined, { signal }).catch(() => undefined);
  for (const store of stores) links.slowDown(store);
}
