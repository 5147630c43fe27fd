import { setTimeout as delay } from 'node:timers/promises';
import type { Contestant, ContestantProcess } from '../harness/contestant.ts';
import { type Arena, type Environment, wipeState } from '../harness/environment.ts';
import { fillArena, workloadFor } from '../harness/measure.ts';
import { awaitRead } from '../harness/progress.ts';
import type { Started } from '../harness/protocol.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import { alternate, type Scenario, type ScenarioOptions } from '../harness/scenario.ts';
import { onStage } from '../harness/stage.ts';
import { usageOf } from '../harness/usage.ts';
import { Truth } from '../input/truth.ts';
import { verifyCounted } from '../verify/outputs.ts';

/** Records that follow the last restore, of which 10 % repeat an id from before: what was restored is looked at. */
const RECORDS_AFTER = 50_000;

/** Where there are checkpoints, one is taken so often, ms; … */
const CHECKPOINT_MS = 5_000;
/** … and nobody is stopped before the last one had time to be taken: what follows it is the changelog's tail. */
const SETTLE_MS = 10_000;

/** From the command to start until all tasks run, in a process that has done nothing, or that did T1 before. */
async function timedStart(
  child: ContestantProcess,
  arena: Arena,
): Promise<Pick<Started, 'reads' | 'figures'> & { ms: number; cpuSeconds: number }> {
  const before = usageOf([child.pid]);
  const began = performance.now();
  const { figures, reads } = await child.start(arena);
  const ms = performance.now() - began;
  const cpuSeconds = usageOf([child.pid]).cpuSeconds - before.cpuSeconds;
  await awaitRead(arena.client, reads);
  return { ms, cpuSeconds, figures, reads };
}

/** T1 makes the state; what is local is then removed, and two processes, a used one and a new one, get it back. */
async function restored(
  environment: Environment,
  contestant: Contestant,
  run: number,
  { records, seed }: ScenarioOptions,
): Promise<Sample> {
  const truth = new Truth(environment.partitions);
  const workload = workloadFor(records + RECORDS_AFTER, seed);
  const play = { label: 'restore', work: 't1', checkpointMs: CHECKPOINT_MS } as const;
  return onStage(environment, contestant, play, async ({ arena, spawn }) => {
    await fillArena(environment, arena, workload, records, truth);
    const keys = truth.events;
    const directory = await environment.directory('restore');
    const used = await spawn(directory);
    await timedStart(used, arena);
    await delay(SETTLE_MS);
    await used.finish();
    await wipeState(directory);
    const warm = await timedStart(used, arena);
    await used.finish();
    await used.end();
    await wipeState(directory);
    const fresh = await spawn(directory);
    const cold = await timedStart(fresh, arena);
    await fillArena(environment, arena, workload, RECORDS_AFTER, truth);
    await awaitRead(arena.client, cold.reads);
    await fresh.finish();
    const { exact, detail } = await verifyCounted(arena.client, truth, contestant.rule);
    const figures = {
      coldMs: cold.ms,
      warmMs: warm.ms,
      cpuSeconds: cold.cpuSeconds,
      restoredRecords: cold.figures['restoredRecords'] ?? 0,
    };
    return { contestant: contestant.name, run, figures, exact, detail: `${keys} keys; ${detail}` };
  });
}

export const restore: Scenario = {
  name: 'restore',
  summary: 'getting the state of 1 M keys back after the loss of everything local',
  peers: true,
  defaults: { records: 1_111_000, warmUp: 0 },
  async run(environment, contestants, options) {
    const samples = await alternate(contestants, options, (contestant, run) =>
      restored(environment, contestant, run, options),
    );
    const ratios = [
      ...ratiosTo(samples, 'coldMs', 'restores per second, new process', 'less'),
      ...ratiosTo(samples, 'warmMs', 'restores per second, used process', 'less'),
    ];
    const columns = [
      { figure: 'coldMs', title: 'ms to running, new process', digits: 0 },
      { figure: 'warmMs', title: 'used process', digits: 0 },
      { figure: 'cpuSeconds', title: 'CPU-s, new', digits: 1 },
      { figure: 'restoredRecords', title: 'changelog records', digits: 0 },
    ];
    return { columns, samples, ratios };
  },
};
