import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { phasesOf, samplesOfRuns } from '../harness/phases.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));
const TIMEOUT_MS = 1_800_000;

const phaseSchema = z.object({
  phase: z.string(),
  known: z.number(),
  perCpuSecond: z.number(),
  residentMiB: z.number().default(Number.NaN),
  anonymousMiB: z.number().default(Number.NaN),
});

async function measured({ keys }: ScenarioOptions, run: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const number of keys) {
    const worker = { command: [WORKER], args: ['--known', String(number)], timeoutMs: TIMEOUT_MS };
    for (const { phase, known, ...figures } of await phasesOf(worker, phaseSchema))
      samples.push({ contestant: `${phase}, ${known.toLocaleString('en')} known`, run, figures });
  }
  return samples;
}

/** What a score costs, by how many contacts are known. */
export const scoring: Scenario = {
  name: 'scoring',
  summary: 'CPU per score: the model alone, new contacts, events of known ones (--keys)',
  peers: false,
  defaults: { records: 0, warmUp: 0, runs: 1 },
  async run(_environment, _contestants, options) {
    const samples = await samplesOfRuns(options, measured);
    const columns = [
      { figure: 'perCpuSecond', title: 'scores per CPU-s', digits: 0 },
      { figure: 'residentMiB', title: 'resident MiB', digits: 0 },
      { figure: 'anonymousMiB', title: 'of that anonymous', digits: 0 },
    ];
    return { columns, samples, ratios: [] };
  },
};
