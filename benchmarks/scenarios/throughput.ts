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

/** One work, by one process of each contestant. */
function throughput(
  work: WorkName,
  of: Pick<Scenario, 'name' | 'summary' | 'peers' | 'defaults'>,
): Scenario {
  return {
    ...of,
    async run(environment, contestants, options) {
      const settings = { ...options, work, processes: 1 };
      const samples = await alternate(contestants, options, async (contestant, run) =>
        sampleOf(contestant.name, run, await measure(environment, contestant, settings)),
      );
      const ratios = [
        ...ratiosTo(samples, 'cpuPerMillion', 'records per CPU-second', 'less'),
        ...ratiosTo(samples, 'recordsPerSecond', 'records per second', 'more'),
      ];
      return { columns: throughputColumns, samples, ratios };
    },
  };
}

const MILLION = { records: 1_000_000, warmUp: 100_000 };

export const t0 = throughput('t0', {
  ...{ name: 't0', summary: 'decode, filter, map, encode' },
  ...{ peers: true, defaults: MILLION },
});

export const t1 = throughput('t1', {
  ...{ name: 't1', summary: 'each event id once, and counts per tenant and minute' },
  ...{ peers: true, defaults: MILLION },
});

/** What a replay of 100 K events takes at most, in a process that begins with it. */
export const replay = throughput('t1', {
  ...{ name: 'replay', summary: 'peak memory of a replay of 100 K events, from a cold start' },
  ...{ peers: false, defaults: { records: 100_000, warmUp: 0 } },
});
