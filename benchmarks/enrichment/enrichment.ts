import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { heapFlags } from '../../cli/workers/memory.ts';
import { startLocalProvider } from '../../pipelines/enrichment/providers/local/server.ts';
import { phasesOf, samplesOfRuns } from '../harness/phases.ts';
import type { Sample } from '../harness/report.ts';
import type { Scenario, ScenarioOptions } from '../harness/scenario.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));
const TIMEOUT_MS = 1_800_000;

const phaseSchema = z.object({
  phase: z.string(),
  perCpuSecond: z.number(),
  perSecond: z.number(),
  called: z.number(),
  residentMiB: z.number(),
  anonymousMiB: z.number(),
});

/** The provider is in this process: what it costs is not the worker's. */
async function measured({ records }: ScenarioOptions, run: number): Promise<Sample[]> {
  const provider = await startLocalProvider();
  try {
    const args = ['--url', provider.url, '--contacts', String(records)];
    const command = [...heapFlags(512), WORKER];
    const phases = await phasesOf({ command, args, timeoutMs: TIMEOUT_MS }, phaseSchema);
    return phases.map(({ phase, ...figures }) => ({ contestant: phase, run, figures }));
  } finally {
    await provider.close();
  }
}

/** What a contact costs, by whether its answers are known. */
export const enrichment: Scenario = {
  name: 'enrichment',
  summary:
    'CPU per contact of the enrichment, asked by HTTP, cached, and when nothing is to be asked',
  peers: false,
  defaults: { records: 20_000, warmUp: 0, runs: 1 },
  async run(_environment, _contestants, options) {
    const samples = await samplesOfRuns(options, measured);
    const columns = [
      { figure: 'perCpuSecond', title: 'contacts per CPU-s', digits: 0 },
      { figure: 'perSecond', title: 'contacts/s', digits: 0 },
      { figure: 'called', title: 'answers from providers', digits: 0 },
      { figure: 'residentMiB', title: 'resident MiB', digits: 0 },
      { figure: 'anonymousMiB', title: 'of that anonymous', digits: 0 },
    ];
    return { columns, samples, ratios: [] };
  },
};
