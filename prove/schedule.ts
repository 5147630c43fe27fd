import type { Random } from '../demo/input/random.ts';
import { type Store, stores } from './links.ts';

/** Engines whose faults a run survives; all of the product's stores, and what it reads and writes. */
export type Engine = 'kafka' | Store;

/** What is done to a process of the run, or to the workers' way to a store. */
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
  | { readonly kind: 'freeze-engine'; readonly engine: Engine; readonly forMs: number }
  /**
   * Away from all workers for so long that breakers open: `kill -9`, and connections are refused. Of Postgres, which is
   * the source, too, only the latter, so that load goes on.
   */
  | { readonly kind: 'outage'; readonly stores: readonly Store[]; readonly downMs: number }
  /** Each answer to a worker comes seconds late. */
  | { readonly kind: 'slow'; readonly stores: readonly Store[]; readonly forMs: number };

export const faultGroups = ['kill', 'freeze', 'outage', 'slow'] as const;
export type FaultGroup = (typeof faultGroups)[number];

export interface PlannedFault {
  /** Calm before it, from the end of the fault before or the start of the load, ms. */
  readonly afterMs: number;
  readonly fault: Fault;
}

/** Before the first fault the load runs undisturbed; after the last it goes on for as long. */
export const CALM_MS = 4_000;
const GAP_MIN_MS = 3_000;
const GAP_SPAN_MS = 6_000;
/** After an outage: a breaker that opened in it leaves its store alone for some seconds longer. */
const RECOVERY_MS = 12_000;
const DOWN_MIN_MS = 500;
const DOWN_SPAN_MS = 6_000;
const FREEZE_MIN_MS = 2_000;
const FREEZE_SPAN_MS = 4_000;
const OUTAGE_MS = 60_000;
const SLOW_MS = 60_000;
const ALL_SLOW_MS = 30_000;
/** By how much each answer of a slow store is late, ms. */
export const LATE_MIN_MS = 1_000;
export const LATE_SPAN_MS = 2_000;

/** @returns what comes first, in this order, and what follows in any. */
type Deck = { readonly first: readonly Fault[]; readonly rest: readonly Fault[] };

function deckOf(group: FaultGroup, random: Random, sessionMs: number): Deck {
  const down = () => DOWN_MIN_MS + random.int(DOWN_SPAN_MS);
  const forMs = () => FREEZE_MIN_MS + random.int(FREEZE_SPAN_MS);
  const freeze = (engine: Engine): Fault => ({ kind: 'freeze-engine', engine, forMs: forMs() });
  switch (group) {
    case 'kill': {
      const kills = (['kafka', ...stores] as const).map(
        (engine): Fault => ({ kind: 'kill-engine', engine, downMs: down() }),
      );
      const workers: Fault[] = [
        { kind: 'kill-worker' },
        { kind: 'kill-worker' },
        { kind: 'stop-worker' },
      ];
      return { first: [], rest: [...workers, ...kills] };
    }
    case 'freeze': {
      const worker: Fault = { kind: 'freeze-worker', forMs: sessionMs + forMs() };
      return {
        first: [],
        rest: [worker, freeze('kafka'), freeze('clickhouse'), freeze('elasticsearch')],
      };
    }
    case 'outage':
      return {
        first: [{ kind: 'outage', stores, downMs: OUTAGE_MS }],
        rest: [
          ...stores.map((store): Fault => ({ kind: 'outage', stores: [store], downMs: OUTAGE_MS })),
          { kind: 'kill-engine', engine: 'postgres', downMs: OUTAGE_MS },
        ],
      };
    case 'slow':
      return {
        first: [{ kind: 'slow', stores, forMs: ALL_SLOW_MS }],
        rest: stores.map((store): Fault => ({ kind: 'slow', stores: [store], forMs: SLOW_MS })),
      };
  }
}

/** How long a fault keeps its victim from working, ms. */
export function lastsMs(fault: Fault): number {
  if (fault.kind === 'kill-engine' || fault.kind === 'outage') return fault.downMs;
  return fault.kind === 'kill-worker' || fault.kind === 'stop-worker' ? 0 : fault.forMs;
}

export interface PlanOptions {
  readonly durationMs: number;
  /** The workers' session timeout: a frozen one sleeps for longer. */
  readonly sessionMs: number;
  readonly groups: readonly FaultGroup[];
}

/**
 * The faults of a run, one after the other: every kind and engine of the groups once before any comes again, in random
 * order, but what hits all stores at once first, since a short run has time for little more. The same seed and options
 * give the same plan; where engines are slow to start, it takes longer than it says.
 */
export function planFaults(
  random: Random,
  { durationMs, sessionMs, groups }: PlanOptions,
): PlannedFault[] {
  const plan: PlannedFault[] = [];
  let first: Fault[] = [];
  let left: Fault[] = [];
  let afterMs = CALM_MS;
  for (let endMs = 0; ; ) {
    if (first.length + left.length === 0) {
      const decks = groups.map((group) => deckOf(group, random, sessionMs));
      first = decks.flatMap((deck) => deck.first);
      left = decks.flatMap((deck) => deck.rest);
    }
    const fault = first.shift() ?? left.splice(random.int(left.length), 1)[0];
    if (fault === undefined) return plan;
    endMs += afterMs + lastsMs(fault);
    if (endMs > durationMs - CALM_MS) return plan;
    plan.push({ afterMs, fault });
    afterMs = GAP_MIN_MS + random.int(GAP_SPAN_MS);
    if (lastsMs(fault) >= OUTAGE_MS && fault.kind !== 'slow') afterMs += RECOVERY_MS;
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
    case 'outage':
      return `${fault.stores.join(', ')} down for ${seconds} s`;
    case 'slow':
      return `${fault.stores.join(', ')} slow for ${seconds} s: each answer ${LATE_MIN_MS / 1_000} to ${(LATE_MIN_MS + LATE_SPAN_MS) / 1_000} s late`;
  }
}
