import { fill } from '../input/fill.ts';
import { Truth } from '../input/truth.ts';
import { Workload } from '../input/workload.ts';
import { type Verdict, verifyCounted, verifyFiltered } from '../verify/outputs.ts';
import type { Contestant, ContestantProcess, WorkName } from './contestant.ts';
import type { Arena, Environment } from './environment.ts';
import { awaitRead } from './progress.ts';
import { onStage } from './stage.ts';
import { usageOf } from './usage.ts';

export interface RunOptions {
  readonly work: WorkName;
  readonly records: number;
  /** Records that each process works on before it is measured, in topics of their own; 0 measures it cold. */
  readonly warmUp: number;
  readonly seed: number;
  /** Processes that share the work. */
  readonly processes: number;
}

/** What one run came to. */
export interface Measurement {
  readonly recordsPerSecond: number;
  /** Of this time, from the command until all tasks run: joining the group, opening state, ms. */
  readonly startMs: number;
  /** CPU time of the contestant's processes between start and end of the work, s per million records. */
  readonly cpuPerMillion: number;
  /** The same of their whole lives: start, warm-up and end included. */
  readonly wholeCpuSeconds: number;
  readonly peakMiB: number;
  readonly verdict: Verdict;
}

/** 20 minutes of event time for a million records, of which 90 % are different events. */
const STEP_MS = 1_200_000 / 900_000;
const MINUTE_MS = 60_000;

/** Events that end about now: brokers refuse records from the future, and retention goes by these times. */
export function workloadFor(
  records: number,
  seed: number,
  ids: 'ordered' | 'scattered' = 'ordered',
): Workload {
  const from = Date.now() - records * STEP_MS - 5 * MINUTE_MS;
  return new Workload({ seed, baseMs: from - (from % MINUTE_MS), stepMs: STEP_MS, ids });
}

/** Writes the next records of a workload to a namespace's input. */
export async function fillArena(
  environment: Environment,
  arena: Arena,
  workload: Workload,
  records: number,
  truth: Truth,
): Promise<void> {
  const topic = arena.client.physical('webhook.received');
  const target = { brokers: environment.brokers, topic, schemaId: arena.inputSchemaId };
  await fill(target, workload, records, truth);
}

/** Has a process work on a namespace of its own first, so that its code is compiled: the same for all. */
export async function warm(
  environment: Environment,
  child: ContestantProcess,
  { warmUp, seed }: Pick<RunOptions, 'warmUp' | 'seed'>,
): Promise<void> {
  if (warmUp === 0) return;
  const arena = await environment.arena('warm');
  const truth = new Truth(environment.partitions);
  await fillArena(environment, arena, workloadFor(warmUp, seed + 1), warmUp, truth);
  const { reads } = await child.start(arena);
  await awaitRead(arena.client, reads);
  await child.finish();
  await arena.remove();
}

/**
 * One run: the input is written, the processes are started and warmed up, and then measured from the command to start
 * until all they read is committed to the end. What came out is checked afterwards.
 */
export async function measure(
  environment: Environment,
  contestant: Contestant,
  options: RunOptions,
): Promise<Measurement> {
  const { work, records, seed, processes } = options;
  const truth = new Truth(environment.partitions);
  return onStage(environment, contestant, { label: work, work }, async ({ arena, spawn }) => {
    await fillArena(environment, arena, workloadFor(records, seed), records, truth);
    const children: ContestantProcess[] = [];
    for (let number = 1; number <= processes; number += 1) {
      const child = await spawn();
      children.push(child);
      await warm(environment, child, options);
    }
    const pids = children.map(({ pid }) => pid);
    const before = usageOf(pids);
    const began = performance.now();
    const started = await Promise.all(children.map((child) => child.start(arena)));
    const startMs = performance.now() - began;
    await awaitRead(arena.client, started[0]?.reads ?? []);
    const seconds = (performance.now() - began) / 1_000;
    const after = usageOf(pids);
    await Promise.all(children.map((child) => child.finish()));
    const whole = usageOf(pids);
    const verdict =
      work === 't0'
        ? await verifyFiltered(arena.client, truth)
        : await verifyCounted(arena.client, truth, contestant.rule);
    return {
      recordsPerSecond: records / seconds,
      startMs,
      cpuPerMillion: ((after.cpuSeconds - before.cpuSeconds) / records) * 1e6,
      wholeCpuSeconds: whole.cpuSeconds,
      peakMiB: whole.peakMiB,
      verdict,
    };
  });
}
