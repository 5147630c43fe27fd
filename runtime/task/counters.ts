/** Whether calls to a service are let through: all, one to try, none. */
export type BreakerState = 'closed' | 'half-open' | 'open';

/** What a step that calls the outside world has under way. */
export interface AsyncCounters {
  /** Calls that have not ended, those of epochs that were rolled back among them. */
  inFlight: number;
  /** Of the breaker that the tasks of a process share; undefined where the step has none. */
  readonly breaker: BreakerState | undefined;
}

/** What a step did, in plain numbers: metrics read them when they are asked. */
export interface StepCounters {
  in: number;
  /** Late records that went to an output of their own; without one they are dead-lettered as `LATE`. */
  late: number;
  /** Of an asynchronous step, set by it; it outlives the step's operator, which is made anew after a rollback. */
  async?: AsyncCounters;
  /** Records dropped, by reason. */
  readonly dropped: Map<string, number>;
  /** Records dead-lettered, by error code. */
  readonly deadLettered: Map<string, number>;
}

/** What a task did since it was opened. */
export interface TaskCounters {
  recordsIn: number;
  bytesIn: number;
  recordsOut: number;
  bytesOut: number;
  dropped: number;
  deadLettered: number;
  epochs: number;
  /** Of the last epoch, ms. */
  lastEpochMs: number;
  lastCommitMs: number;
  readonly steps: Map<string, StepCounters>;
}

export function newTaskCounters(): TaskCounters {
  return {
    recordsIn: 0,
    bytesIn: 0,
    recordsOut: 0,
    bytesOut: 0,
    dropped: 0,
    deadLettered: 0,
    epochs: 0,
    lastEpochMs: 0,
    lastCommitMs: 0,
    steps: new Map(),
  };
}

export function stepCounters(counters: TaskCounters, step: string): StepCounters {
  let found = counters.steps.get(step);
  if (found === undefined) {
    found = { in: 0, late: 0, dropped: new Map(), deadLettered: new Map() };
    counters.steps.set(step, found);
  }
  return found;
}

export function countOne(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Adds what a task did to what others did; of its last epoch's times the largest stays. */
export function addCounters(sum: TaskCounters, counters: TaskCounters): void {
  sum.recordsIn += counters.recordsIn;
  sum.bytesIn += counters.bytesIn;
  sum.recordsOut += counters.recordsOut;
  sum.bytesOut += counters.bytesOut;
  sum.dropped += counters.dropped;
  sum.deadLettered += counters.deadLettered;
  sum.epochs += counters.epochs;
  sum.lastEpochMs = Math.max(sum.lastEpochMs, counters.lastEpochMs);
  sum.lastCommitMs = Math.max(sum.lastCommitMs, counters.lastCommitMs);
  for (const [name, step] of counters.steps) addStep(stepCounters(sum, name), step);
}

function addStep(sum: StepCounters, step: StepCounters): void {
  sum.in += step.in;
  sum.late += step.late;
  if (step.async !== undefined) {
    const { inFlight, breaker } = step.async;
    sum.async = { inFlight: inFlight + (sum.async?.inFlight ?? 0), breaker };
  }
  addCounts(sum.dropped, step.dropped);
  addCounts(sum.deadLettered, step.deadLettered);
}

function addCounts(sum: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [name, count] of counts) sum.set(name, (sum.get(name) ?? 0) + count);
}
