import { newTaskCounters, stepCounters, type TaskCounters } from '../task/counters.ts';

/** What several tasks did, as one; the times are the largest. */
export function sumCounters(all: readonly TaskCounters[]): TaskCounters {
  const sum = newTaskCounters();
  for (const counters of all) {
    sum.recordsIn += counters.recordsIn;
    sum.bytesIn += counters.bytesIn;
    sum.recordsOut += counters.recordsOut;
    sum.bytesOut += counters.bytesOut;
    sum.dropped += counters.dropped;
    sum.deadLettered += counters.deadLettered;
    sum.epochs += counters.epochs;
    sum.lastEpochMs = Math.max(sum.lastEpochMs, counters.lastEpochMs);
    sum.lastCommitMs = Math.max(sum.lastCommitMs, counters.lastCommitMs);
    for (const [name, step] of counters.steps) {
      const total = stepCounters(sum, name);
      total.in += step.in;
      total.late += step.late;
      if (step.async !== undefined) {
        const { inFlight, breaker } = step.async;
        total.async = { inFlight: inFlight + (total.async?.inFlight ?? 0), breaker };
      }
      for (const [reason, count] of step.dropped)
        total.dropped.set(reason, (total.dropped.get(reason) ?? 0) + count);
      for (const [code, count] of step.deadLettered)
        total.deadLettered.set(code, (total.deadLettered.get(code) ?? 0) + count);
    }
  }
  return sum;
}
