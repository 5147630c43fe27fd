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
  for (const known of keys) {
    const dir = await mkdtemp(join(tmpdir(), 'reachflow-scoring-'));
    try {
      const args = [WORKER, '--known', String(known), '--dir', dir];
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
      for (const line of stdout.trim().split('\n')) {
        const { phase, known: of, ...figures } = phaseSchema.parse(JSON.parse(line));
        samples.push({ contestant: `${phase}, ${of.toLocaleString('en')} known`, run, figures });
      }
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
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
    const samples: Sample[] = [];
    for (let run = 1; run <= options.runs; run += 1)
      samples.push(...(await measured(options, run)));
    const columns = [
      { figure: 'perCpuSecond', title: 'scores per CPU-s', digits: 0 },
      { figure: 'residentMiB', title: 'resident MiB', digits: 0 },
      { figure: 'anonymousMiB', title: 'of that anonymous', digits: 0 },
    ];
    return { columns, samples, ratios: [] };
  },
};
