import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
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
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-contacts-'));
  try {
    const args = [WORKER, '--known', keys.join(','), '--dir', dir];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
    return stdout
      .trim()
      .split('\n')
      .map((line) => {
        const { phase, known, ...figures } = phaseSchema.parse(JSON.parse(line));
        return { contestant: `${phase}, ${known.toLocaleString('en')} known`, run, figures };
      });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** What a contact costs, by how many are known. */
export const contacts: Scenario = {
  name: 'contacts',
  summary: 'CPU per contact of deduplication, by how many contacts are known (--keys)',
  peers: false,
  defaults: { records: 0, warmUp: 0, runs: 1 },
  async run(_environment, _contestants, options) {
    const samples: Sample[] = [];
    for (let run = 1; run <= options.runs; run += 1)
      samples.push(...(await measured(options, run)));
    const columns = [
      { figure: 'perCpuSecond', title: 'contacts per CPU-s', digits: 0 },
      { figure: 'residentMiB', title: 'resident MiB', digits: 0 },
      { figure: 'anonymousMiB', title: 'of that anonymous', digits: 0 },
      { figure: 'cpuSeconds', title: 'CPU s', digits: 1 },
    ];
    return { columns, samples, ratios: [] };
  },
};
