import { describe, expect, it } from 'vitest';
import { seededRandom } from '../demo/input/random.ts';
import { stores } from './links.ts';
import { type FaultGroup, faultText, lastsMs, planFaults } from './schedule.ts';

const SESSION_MS = 6_000;
const SHORT: readonly FaultGroup[] = ['kill', 'freeze'];
const plan = (seed: number, durationMs: number, groups = SHORT) =>
  planFaults(seededRandom(seed), { durationMs, sessionMs: SESSION_MS, groups });

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

  it('has all stores down for a minute and then slow in two minutes, each of them in ten', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const short = plan(seed, 120_000, ['outage', 'slow']);
      expect(short.map(({ fault }) => fault)).toEqual([
        { kind: 'outage', stores, downMs: 60_000 },
        { kind: 'slow', stores, forMs: 30_000 },
      ]);
      // A breaker that opened late in the outage is still open for a while.
      expect(short[1]?.afterMs).toBeGreaterThanOrEqual(15_000);
      const texts = plan(seed, 700_000, ['outage', 'slow']).map(({ fault }) => faultText(fault));
      for (const store of stores) {
        expect(texts, `seed ${seed}`).toContain(`${store} down for 60.0 s`);
        expect(texts, `seed ${seed}`).toContainEqual(
          expect.stringContaining(`${store} slow for 60.0 s`),
        );
      }
      expect(texts).toContain('kill -9 of postgres, away for 60.0 s');
    }
  });

  it('plans nothing where there is no time', () => {
    expect(plan(1, 8_000).every(({ fault }) => lastsMs(fault) === 0)).toBe(true);
    expect(plan(1, 1_000)).toEqual([]);
  });
});

const fixed = { downMs: 1_000, forMs: 1_000 };
