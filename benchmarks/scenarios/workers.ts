import { measure } from '../harness/measure.ts';
import { ratiosTo, type Sample } from '../harness/report.ts';
import type { Scenario } from '../harness/scenario.ts';
import { sampleOf, throughputColumns } from './throughput.ts';

/**
 * T1 with a step that computes for about 150 µs, by two worker processes against one: the workers are what is short then,
 * not the broker, which has the same cores.
 */
export const workers: Scenario = {
  name: 'workers',
  summary: 'T1 with a step that computes, by two worker processes against one',
  peers: false,
  defaults: { records: 200_000, warmUp: 20_000 },
  async run(environment, [contestant], options) {
    const samples: Sample[] = [];
    if (contestant === undefined) return { columns: throughputColumns, samples, ratios: [] };
    for (let run = 1; run <= options.runs; run += 1) {
      for (const processes of [2, 1]) {
        options.onProgress(`run ${run} of ${options.runs}: ${processes} workers …`);
        const settings = { ...options, work: 't1-heavy' as const, processes };
        const measurement = await measure(environment, contestant, settings);
        samples.push(sampleOf(`${contestant.name} × ${processes}`, run, measurement));
      }
    }
    const ratios = ratiosTo(samples, 'recordsPerSecond', 'records per second', 'more');
    return { columns: throughputColumns, samples, ratios };
  },
};
