import type { Random } from '../demo/input/random.ts';

/** Engines whose faults a run survives; all of the product's stores, and what it reads and writes. */
export type Engine = 'kafka' | 'postgres' | 'clickhouse' | 'elasticsearch';

/** What is done to a process of the run. */
export type Fault =
  /** `kill -9`; a new one follows. */
  | { readonly kind: 'kill-worker' }
  /** SIGTERM: drains, commits, ends; a new one follows. */
  | { readonly kind: 'stop-worker' }
  /** SIGSTOP, longer than its session: it wakes as a zombie. */
  | { readonly kind: 'freeze-worker'; readonly forMs: number }
  /** `kill -9`, then away for a while. */
  | { readonly kind: 'kill-engine'; readonly engine: Engine; readonly downMs: number }
  /** Connections stay open, and nothing answers. */
  | { readonly kind: 'freeze-engine'; readonly engine: Engine; readonly forMs: number };

export interface PlannedFault {
  /** Calm before it, from the end of the fault before or the start of the load, ms. */
  readonly afterMs: number;
  readonly fault: Fault;
}

/** Before the first fault the load runs undisturbed; after the last it goes on for as long. */
export const CALM_MS = 4_000;
const GAP_MIN_MS = 3_000;
const GAP_SPAN_MS = 6_000;
const DOWN_MIN_MS = 500;
const DOWN_SPAN_MS = 6_000;
const FREEZE_MIN_MS = 2_000;
const FREEZE_SPAN_MS = 4_000;

function deck(random: Random, sessionMs: number): Fault[] {
  const down = () => DOWN_MIN_MS + random.int(DOWN_SPAN_MS);
  const forMs = () => FREEZE_MIN_MS + random.int(FREEZE_SPAN_MS);
  const kill = (engine: Engine): Fault => ({ kind: 'kill-engine', engine, downMs: down() });
  const freeze = (engine: Engine): Fault => ({ kind: 'freeze-engine', engine, forMs: forMs() });
  return [
    { kind: 'kill-worker' },
    { kind: 'kill-worker' },
    { kind: 'stop-worker' },
    { kind: 'freeze-worker', forMs: sessionMs + forMs() },
    kill('kafka'),
    kill('postgres'),
    kill('clickhouse'),
    kill('elasticsearch'),
    freeze('kafka'),
    freeze('clickhouse'),
    freeze('elasticsearch'),
  ];
}

/** How long a fault keeps its victim from working, ms. */
export function lastsMs(fault: Fault): number {
  if (fault.kind === 'kill-engine') return fault.downMs;
  return fault.kind === 'freeze-worker' || fault.kind === 'freeze-engine' ? fault.forMs : 0;
}

/**
 * The faults of a run, one after the other: every kind and engine once, in random order, before any comes again. The
 * same seed and duration give the same plan; where engines are slow to start, its end is left out.
 * @param sessionMs the workers' session timeout: a frozen one sleeps for longer.
 */
export function planFaults(random: Random, durationMs: number, sessionMs: number): PlannedFault[] {
  const plan: PlannedFault[] = [];
  let left: Fault[] = [];
  let afterMs = CALM_MS;
  for (let endMs = 0; ; ) {
    if (left.length === 0) left = deck(random, sessionMs);
    const fault = left.splice(random.int(left.length), 1)[0];
    if (fault === undefined) return plan;
    endMs += afterMs + lastsMs(fault);
    if (endMs > durationMs - CALM_MS) return plan;
    plan.push({ afterMs, fault });
    afterMs = GAP_MIN_MS + random.int(GAP_SPAN_MS);
  }
}

/** For people: what is done. */
export function faultText(fault: Fault): string {
  const seconds = (lastsMs(fault) / 1_000).toFixed(1);
  switch (fault.kind) {
    case 'kill-worker':
      return 'kill -9 of a worker';
    case 'stop-worker':
      return 'SIGTERM to a worker';
    case 'freeze-worker':
      return `a worker frozen for ${seconds} s`;
    case 'kill-engine':
      return `kill -9 of ${fault.engine}, away for ${seconds} s`;
    case 'freeze-engine':
      return `${fault.engine} frozen for ${seconds} s`;
  }
}
