import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { z } from 'zod';
import type { Sample } from './report.ts';
import type { ScenarioOptions } from './scenario.ts';

export interface PhaseWorker {
  /** The script's path, after flags for Node. */
  readonly command: readonly string[];
  /** For the script; `--dir` of a new directory is put behind. */
  readonly args: readonly string[];
  readonly timeoutMs: number;
}

/**
 * Runs a script in a process of its own that prints what each of its phases came to, a line of JSON each.
 * @throws Error with what it wrote when it fails; ZodError for another line.
 */
export async function phasesOf<T>(
  { command, args, timeoutMs }: PhaseWorker,
  schema: z.ZodType<T>,
): Promise<T[]> {
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-bench-'));
  try {
    const all = [...command, ...args, '--dir', dir];
    const { stdout } = await promisify(execFile)(process.execPath, all, { timeout: timeoutMs });
    return stdout
      .trim()
      .split('\n')
      .map((line) => schema.parse(JSON.parse(line)));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Samples of all runs, one run after the other. */
export async function samplesOfRuns(
  options: ScenarioOptions,
  measured: (options: ScenarioOptions, run: number) => Promise<Sample[]>,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let run = 1; run <= options.runs; run += 1) samples.push(...(await measured(options, run)));
  return samples;
}
