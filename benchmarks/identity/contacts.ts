import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { phasesOf, samplesOfRuns } from '../harness/phases.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));
/** A million contacts take minutes; on a machine that is busy many. */
const TIMEOUT_MS = 3_600_000;

const phaseSchema = z.object({
  phase: z.string(),
  known: z.number(),
  perCpuSecond: z.number().default(Number.NaN),
  residentMiB: z.number().default(Number.NaN),
  anonymousMiB: z.number().default(Number.NaN),
  cpuSeconds: z.number().default(Number.NaN),
});

async function measured({ keys }: ScenarioOptions, run: number): Promise<Sample[]> {
  const worker = { command: [WORKER], args: ['--known', keys.join(',')], timeoutMs: TIMEOUT_MS };
  const phases = await phasesOf(worker, phaseSchema);
  return phases.map(({ phase, known, ...figures }) => ({
    contestant: `${phase}, ${known.toLocaleString('en')} known`,
    run,
    figures,
  }));
}

/** What a contact costs, by how many are known. */
export const contacts: Scenario = {
  name: 'contacts',
  summary: 'CPU per contact of deduplication, by how many contacts are known (--keys)',
  peers: false,
  defaults: { records: 0, warmUp: 0, runs: 1 },
  async run(_environment, _contestants, options) {
    const samples = await samplesOfRuns(options, measured);
    const columns = [
      { figure: 'perCpuSecond', title: 'contacts per CPU-s', digits: 0 },
      { figure: 'residentMiB', title: 'resident MiB', digits: 0 },
      { figure: 'anonymousMiB', title: 'of that anonymous', digits: 0 },
      { figure: 'cpuSeconds', title: 'CPU s', digits: 1 },
    ];
    return { columns, samples, ratios: [] };
  },
};
