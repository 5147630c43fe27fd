import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { heapFlags } from '../../cli/workers/memory.ts';
import { startLocalProvider } from '../../pipelines/enrichment/providers/local/server.ts';
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
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-enrichment-'));
  const provider = await startLocalProvider();
  try {
    const args = [
      ...heapFlags(512),
      WORKER,
      '--url',
      provider.url,
      '--contacts',
      String(records),
      '--dir',
      dir,
    ];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
    return stdout
      .trim()
      .split('\n')
      .map((line) => {
        const { phase, ...figures } = phaseSchema.parse(JSON.parse(line));
        return { contestant: phase, run, figures };
      });
  } finally {
    await provider.close();
    await rm(dir, { recursive: true, force: true });
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
    const samples: Sample[] = [];
    for (let run = 1; run <= options.runs; run += 1)
      samples.push(...(await measured(options, run)));
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
