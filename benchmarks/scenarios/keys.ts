import { type Contestant, ContestantProcess } from '../harness/contestant.ts';
import type { Environment } from '../harness/environment.ts';
import { fillArena, warm, workloadFor } from '../harness/measure.ts';
import { awaitRead } from '../harness/progress.ts';
import { figureOf, type Sample } from '../harness/report.ts';
import { alternate, type Scenario, type ScenarioOptions } from '../harness/scenario.ts';
import { usageOf } from '../harness/usage.ts';
import { Truth } from '../input/truth.ts';
import { verifyCounted } from '../verify/outputs.ts';

/** Of ten records nine are different events. */
const RECORDS_PER_KEY = 10 / 9;

/** T1 until its state has so many keys, then the cost of the records that follow; 10 % repeat any id before. */
async function costAt(
  environment: Environment,
  contestant: Contestant,
  run: number,
  keys: number,
  options: ScenarioOptions,
): Promise<Sample> {
  const { records, seed } = options;
  const before = Math.ceil(keys * RECORDS_PER_KEY);
  const arena = await environment.arena('keys');
  const truth = new Truth(environment.partitions);
  const workload = workloadFor(before + records, seed);
  await fillArena(environment, arena, workload, before, truth);
  const { brokers, registryUrl } = environment;
  const child = await ContestantProcess.spawn(
    contestant,
    { work: 't1', brokers, registryUrl },
    await environment.directory('keys'),
  );
  try {
    await warm(environment, child, options);
    const { reads } = await child.start(arena);
    await awaitRead(arena.client, reads);
    const start = usageOf([child.pid]);
    await fillArena(environment, arena, workload, records, truth);
    await awaitRead(arena.client, reads);
    const end = usageOf([child.pid]);
    await child.finish();
    const { exact, detail } = await verifyCounted(arena.client, truth, contestant.rule);
    const cpuPerMillion = ((end.cpuSeconds - start.cpuSeconds) / records) * 1e6;
    const figures = { cpuPerMillion, peakMiB: end.peakMiB };
    const name = `${contestant.name}, ${keys.toLocaleString('en')} keys`;
    return { contestant: name, run, figures, exact, detail };
  } finally {
    await child.end();
    await arena.remove();
  }
}

export const keys: Scenario = {
  name: 'keys',
  summary: 'cost per record of T1 by keys in state (--keys)',
  peers: false,
  defaults: { records: 300_000, warmUp: 100_000 },
  async run(environment, contestants, options) {
    const perRun = await alternate(contestants, options, async (contestant, run) => {
      const samples: Sample[] = [];
      for (const count of options.keys) {
        options.onProgress(`  ${count} keys …`);
        samples.push(await costAt(environment, contestant, run, count, options));
      }
      return samples;
    });
    const samples = perRun.flat();
    const costs = [...new Set(samples.map(({ contestant }) => contestant))].map((name) => ({
      name,
      cost: figureOf(samples, name, 'cpuPerMillion').median,
    }));
    const [least, ...more] = costs;
    const ratios = more.map(({ name, cost }) => ({
      name: `CPU per record: ${name} to ${least?.name}`,
      value: cost / (least?.cost ?? Number.NaN),
    }));
    const columns = [
      { figure: 'cpuPerMillion', title: 'CPU-s per million', digits: 1 },
      { figure: 'peakMiB', title: 'peak MiB', digits: 0 },
    ];
    return { columns, samples, ratios };
  },
};
