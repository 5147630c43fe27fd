import { setTimeout as delay } from 'node:timers/promises';
import { killComponent, startComponent } from '../compose/stack.ts';
import type { Random } from '../demo/input/random.ts';
import type { Fleet } from './fleet.ts';
import { CALM_MS, type Fault, faultText, lastsMs, type PlannedFault } from './schedule.ts';

export interface InflictOptions {
  /** Of the stack. */
  readonly dir: string;
  readonly fleet: Fleet;
  /** Chooses the worker. */
  readonly random: Random;
  readonly onFault: (text: string) => void;
  /** Of the load, ms: nothing is begun that would not end before it does. */
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/** Carries out a plan. Afterwards every engine runs again, whatever happened. @returns how many faults there were. */
export async function inflict(
  plan: readonly PlannedFault[],
  options: InflictOptions,
): Promise<number> {
  const began = performance.now();
  let count = 0;
  for (const { afterMs, fault } of plan) {
    await delay(afterMs, undefined, { signal: options.signal }).catch(() => undefined);
    const endMs = performance.now() - began + lastsMs(fault);
    if (options.signal.aborted || endMs > options.durationMs - CALM_MS) return count;
    options.onFault(faultText(fault));
    await strike(fault, options);
    count += 1;
  }
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
  const { alive } = fleet;
  if (alive.length === 0) return;
  const worker = random.pick(alive);
  if (fault.kind === 'freeze-worker') await fleet.freeze(worker, lastsMs(fault));
  else await fleet.end(worker, fault.kind === 'kill-worker' ? 'SIGKILL' : 'SIGTERM');
}
