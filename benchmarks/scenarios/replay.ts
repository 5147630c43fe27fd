import { measure } from '../harness/measure.ts';
import { alternate, type Scenario } from '../harness/scenario.ts';
import { sampleOf, throughputColumns } from './throughput.ts';

/** What a replay of 100 K events takes at most, in a process that begins with it. */
export const replay: Scenario = {
  name: 'replay',
  summary: 'peak memory of a replay of 100 K events, from a cold start',
  peers: false,
  defaults: { records: 100_000, warmUp: 0 },
  async run(environment, contestants, options) {
    const samples = await alternate(contestants, options, async (contestant, run) =>
      sampleOf(
        contestant.name,
        run,
        await measure(environment, contestant, { ...options, work: 't1', processes: 1 }),
      ),
    );
    return { columns: throughputColumns, samples, ratios: [] };
  },
};
