import { beforeAll, describe, expect, it } from 'vitest';
import { MemoryCodec } from '../../runtime/testing/memory-codec.ts';
import { check } from './check.ts';
import { Simulation } from './simulation.ts';

/**
 * Seeded runs of the real operators, tasks and state over a log in memory, in which everything goes wrong that can, against
 * a model of thirty lines. A failing seed says how to run it alone.
 */

const SEEDS = 2_000;
const GROUPS = 10;
const only = process.env['REACHFLOW_SIM_SEED'];

let codec: MemoryCodec;
const done = new Map<string, number>();

beforeAll(async () => {
  codec = await MemoryCodec.create();
});

async function simulate(seed: number): Promise<void> {
  const simulation = new Simulation(seed, codec);
  try {
    await simulation.run();
    check(simulation, codec);
  } catch (error) {
    throw new Error(
      `seed ${seed} failed; to run it alone: REACHFLOW_SIM_SEED=${seed} npm run test:unit -- tests/simulation`,
      { cause: error },
    );
  }
  for (const [what, times] of simulation.done) done.set(what, (done.get(what) ?? 0) + times);
}

if (only !== undefined) {
  it(`seed ${only}`, () => simulate(Number(only)));
} else {
  describe('whatever happens, the outcome is that of the model', () => {
    for (let group = 0; group < GROUPS; group += 1) {
      const first = (group * SEEDS) / GROUPS;
      const last = ((group + 1) * SEEDS) / GROUPS - 1;
      it(`seeds ${first} to ${last}`, { timeout: 60_000 }, async () => {
        for (let seed = first; seed <= last; seed += 1) await simulate(seed);
      });
    }

    it('a seed is the same run whenever it is run', async () => {
      const runs = [];
      for (let n = 0; n < 2; n += 1) {
        const simulation = new Simulation(7, codec);
        await simulation.run();
        const { log } = simulation;
        const outputs = ['webhook.received', 'contact.golden', 'metric.tenant.count'].map((topic) =>
          log.readTopic(topic).map(({ record, sequence }) => [sequence, record]),
        );
        runs.push({ done: [...simulation.done], outputs });
      }
      expect(runs[0]).toEqual(runs[1]);
    });

    it('everything that can go wrong went wrong', () => {
      for (const what of [
        'crash',
        'zombie',
        'graceful',
        'lost answer',
        'duplicate',
        'batch again',
        'rest',
        'tick',
        'checkpoint',
      ])
        expect([what, (done.get(what) ?? 0) > 100]).toEqual([what, true]);
    });
  });
}
