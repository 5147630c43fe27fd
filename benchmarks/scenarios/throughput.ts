import type { WorkName } from '../harness/contestant.ts';
import { type Measurement, measure } from '../harness/measure.ts';
import { type Column, ratiosTo, type Sample } from '../harness/report.ts';
import { alternate, type Scenario } from '../harness/scenario.ts';

export const throughputColumns: readonly Column[] = [
  { figure: 'recordsPerSecond', title: 'records/s', digits: 0 },
  { figure: 'startMs', title: 'start ms', digits: 0 },
  { figure: 'cpuPerMillion', title: 'CPU-s per million', digits: 1 },
  { figure: 'wholeCpuSeconds', title: 'CPU-s whole', digits: 1 },
  { figure: 'peakMiB', title: 'peak MiB', digits: 0 },
];

export function sampleOf(contestant: string, run: number, measurement: Measurement): Sample {
  const { verdict, ...figures } = measurement;
  return { contestant, run, figures, exact: verdict.exact, detail: verdict.detail };
}

function throughput(work: WorkName, summary: string): Scenario {
  return {
    name: work,
    summary,
    peers: true,
    defaults: { records: 1_000_000, warmUp: 100_000 },
    async run(environment, contestants, options) {
      const samples = await alternate(contestants, options, async (contestant, run) =>
        sampleOf(
          contestant.name,
          run,
          await measure(environment, contestant, { ...options, work, processes: 1 }),
        ),
      );
      const ratios = [
        ...ratiosTo(samples, 'cpuPerMillion', 'records per CPU-second', 'less'),
        ...ratiosTo(samples, 'recordsPerSecond', 'records per second', 'more'),
      ];
      return { columns: throughputColumns, samples, ratios };
    },
  };
}

export const t0 = throughput('t0', 'decode, filter, map, encode');
export const t1 = throughput('t1', 'each event id once, and counts per tenant and minute');
