import { describe, expect, it } from 'vitest';
import { seededRandom } from '../demo/input/random.ts';
import { faultText, lastsMs, planFaults } from './schedule.ts';

const SESSION_MS = 6_000;
const plan = (seed: number, durationMs: number) =>
  planFaults(seededRandom(seed), durationMs, SESSION_MS);

describe('planFaults', () => {
  it('is the same for the same seed, another for another', () => {
    expect(plan(7, 120_000)).toEqual(plan(7, 120_000));
    expect(plan(7, 120_000)).not.toEqual(plan(8, 120_000));
  });

  it('has every kind and every engine before any comes again, in five minutes', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const faults = plan(seed, 300_000).slice(0, 11);
      const texts = faults.map(({ fault }) => faultText({ ...fault, ...fixed }));
      expect(new Set(texts).size, `seed ${seed}`).toBe(10);
    }
  });

  it('disturbs one at a time, and leaves the load calm at both ends', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      let endMs = 0;
      for (const { afterMs, fault } of plan(seed, 90_000)) {
        expect(afterMs).toBeGreaterThanOrEqual(3_000);
        endMs += afterMs + lastsMs(fault);
        expect(endMs).toBeLessThanOrEqual(86_000);
        if (fault.kind === 'freeze-worker') expect(fault.forMs).toBeGreaterThan(SESSION_MS);
      }
    }
  });

  it('plans nothing where there is no time', () => {
    expect(plan(1, 8_000).every(({ fault }) => lastsMs(fault) === 0)).toBe(true);
    expect(plan(1, 1_000)).toEqual([]);
  });
});

const fixed = { downMs: 1_000, forMs: 1_000 };
