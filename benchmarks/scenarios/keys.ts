import { type Contestant, ContestantProcess } from '../harness/contestant.ts';
import type { Arena, Environment } from '../harness/environment.ts';
import { fillArena, warm, workloadFor } from '../harness/measure.ts';
import { awaitRead } from '../harness/progress.ts';
import { figureOf, type Sample } from '../harness/report.ts';
import { alternate, type Scenario, type ScenarioOptions } from '../harness/scenario.ts';
import { type Usage, usageOf } from '../harness/usage.ts';
import { Truth } from '../input/truth.ts';
import type { Workload } from '../input/workload.ts';
import { verifyCounted } from '../verify/outputs.ts';

/** Of ten records nine are different events. */
const RECORDS_PER_KEY = 10 / 9;
/** The state is made in parts, so that the input that waits is bounded. */
const FILL_RECORDS = 1_000_000;
/** With few keys in state, fewer records are measured: else it would soon be many keys. */
const MOST_RECORDS_PER_KEY = 10;
/** What is there when a process starts again: its start is over when they are done. */
const FIRST_RECORDS = 1_000;

/** Events that a contestant works on, all in one state that grows. */
class Growing {
  readonly truth: Truth;
  readonly arena: Arena;
  readonly #environment: Environment;
  readonly #workload: Workload;

  constructor(environment: Environment, arena: Arena, workload: Workload) {
    this.#environment = environment;
    this.arena = arena;
    this.#workload = workload;
    this.truth = new Truth(environment.partitions);
  }

  async append(records: number): Promise<void> {
    await fillArena(this.#environment, this.arena, this.#workload, records, this.truth);
  }

  /** Records until there are so many different events. */
  recordsUntil(keys: number): number {
    return Math.max(0, Math.ceil(keys * RECORDS_PER_KEY) - this.truth.records);
  }
}

type Reads = Awaited<ReturnType<ContestantProcess['start']>>['reads'];

/** The cost of the next records. */
async function costOf(
  growing: Growing,
  { pid }: ContestantProcess,
  reads: Reads,
  records: number,
): Promise<Record<string, number>> {
  const before = usageOf([pid]);
  await growing.append(records);
  await awaitRead(growing.arena.client, reads);
  const after = usageOf([pid]);
  return {
    cpuPerMillion: ((after.cpuSeconds - before.cpuSeconds) / records) * 1e6,
    ...memory(after),
  };
}

function memory({ peakMiB, residentMiB, anonymousMiB }: Usage): Record<string, number> {
  return { peakMiB, residentMiB, anonymousMiB };
}

/** T1 in one state that grows from the fewest to the most keys; 10 % of the records repeat any id before. */
async function grown(
  environment: Environment,
  contestant: Contestant,
  run: number,
  options: ScenarioOptions,
): Promise<Sample[]> {
  const { records, seed, keys, onProgress } = options;
  const counts = keys.toSorted((a, b) => a - b);
  const all = (counts.at(-1) ?? 0) * RECORDS_PER_KEY + 2 * records;
  const arena = await environment.arena('keys');
  const growing = new Growing(environment, arena, workloadFor(all, seed, 'scattered'));
  const directory = await environment.directory('keys');
  const { brokers, registryUrl } = environment;
  const context = { work: 't1' as const, brokers, registryUrl };
  const children = [await ContestantProcess.spawn(contestant, context, directory)];
  const samples: { title: string; figures: Record<string, number> }[] = [];
  try {
    const [first] = children as [ContestantProcess];
    await warm(environment, first, options);
    const { reads } = await first.start(arena);
    for (const count of counts) {
      for (let more = growing.recordsUntil(count); more > 0; more = growing.recordsUntil(count)) {
        await growing.append(Math.min(more, FILL_RECORDS));
        await awaitRead(arena.client, reads);
        onProgress(`  ${growing.truth.events} keys …`);
      }
      const measured = Math.min(records, MOST_RECORDS_PER_KEY * count);
      const figures = await costOf(growing, first, reads, measured);
      samples.push({ title: `${count.toLocaleString('en')} keys`, figures });
      onProgress(`  ${count} keys: ${figures['cpuPerMillion']?.toFixed(1)} CPU-s per million`);
    }
    await first.finish();
    await first.end();
    const again = await ContestantProcess.spawn(contestant, context, directory);
    children.push(again);
    const opening = await reopened(growing, again);
    const figures = await costOf(growing, again, reads, records);
    samples.push({ title: 'started again', figures: { ...figures, ...opening } });
    await again.finish();
    const { exact, detail } = await verifyCounted(arena.client, growing.truth, contestant.rule);
    return samples.map(({ title, figures: of }) => {
      return { contestant: `${contestant.name}, ${title}`, run, figures: of, exact, detail };
    });
  } finally {
    await Promise.all(children.map((child) => child.end()));
    await arena.remove();
  }
}

/** Time and CPU from the command to start until the first records are done. */
async function reopened(
  growing: Growing,
  child: ContestantProcess,
): Promise<Record<string, number>> {
  await growing.append(FIRST_RECORDS);
  const before = usageOf([child.pid]);
  const began = performance.now();
  const { reads } = await child.start(growing.arena);
  await awaitRead(growing.arena.client, reads);
  const openMs = performance.now() - began;
  return { openMs, openCpu: usageOf([child.pid]).cpuSeconds - before.cpuSeconds };
}

export const keys: Scenario = {
  name: 'keys',
  summary: 'cost per record of T1 by keys in state (--keys), and of starting again with the most',
  peers: false,
  defaults: { records: 300_000, warmUp: 100_000, runs: 1 },
  async run(environment, contestants, options) {
    const perRun = await alternate(contestants, options, (contestant, run) =>
      grown(environment, contestant, run, options),
    );
    const samples = perRun.flat();
    const names = [...new Set(samples.map(({ contestant }) => contestant))];
    const costs = names
      .filter((name) => name.endsWith('keys'))
      .map((name) => figureOf(samples, name, 'cpuPerMillion').median);
    const ratios = [
      {
        name: 'CPU per record: the dearest to the cheapest',
        value: Math.max(...costs) / Math.min(...costs),
      },
      {
        name: 'CPU per record: most keys to fewest',
        value: (costs.at(-1) ?? Number.NaN) / (costs[0] ?? 1),
      },
    ];
    const columns = [
      { figure: 'cpuPerMillion', title: 'CPU-s per million', digits: 1 },
      { figure: 'peakMiB', title: 'peak MiB', digits: 0 },
      { figure: 'residentMiB', title: 'resident MiB', digits: 0 },
      { figure: 'anonymousMiB', title: 'anonymous MiB', digits: 0 },
      { figure: 'openMs', title: 'ms to first record', digits: 0 },
      { figure: 'openCpu', title: 'CPU-s to first record', digits: 1 },
    ];
    return { columns, samples, ratios };
  },
};
