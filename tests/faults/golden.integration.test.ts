import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Outcome } from '../support/trial/expected.ts';
import { randomFor, randomOf } from '../support/trial/random.ts';
import { withTrial } from '../support/trial/trial.ts';

const HALF = 6_000;

it('the same input has the same outcome: in one run, and stopped at two workers with checkpoints and resumed at three', async () => {
  const { seed } = randomFor('golden run');
  const beginsAt = Date.now() - 86_400_000;
  const outcomes: Outcome[] = [];

  await withTrial({ random: randomOf(seed), beginsAt }, async (trial) => {
    await trial.start({ load: false });
    await trial.load.burst(2 * HALF);
    await trial.addWorker();
    outcomes.push(await trial.finish());
  });

  const directory = mkdtempSync(join(tmpdir(), 'reachflow-trial-checkpoints-'));
  const checkpoint = { target: 'directory', directory, intervalMs: 1_000 };
  await withTrial({ random: randomOf(seed), beginsAt }, async (trial) => {
    await trial.start({ load: false });
    await trial.load.burst(HALF);
    const workers = await Promise.all([
      trial.addWorker({ checkpoint }),
      trial.addWorker({ checkpoint }),
    ]);
    await trial.recorded(HALF / 2);
    await trial.load.burst(HALF);
    for (const worker of workers) expect(await worker.end('SIGTERM')).toBe(0);
    // As on other machines: what is left are the checkpoints and the log.
    for (const { stateDir } of workers) rmSync(stateDir, { recursive: true });
    const resumed = await Promise.all([1, 2, 3].map(() => trial.addWorker({ checkpoint })));
    const logs = resumed.map(({ log }) => log).join('');
    expect(logs).toContain('state restored from a checkpoint');
    outcomes.push(await trial.finish());
  });
  rmSync(directory, { recursive: true });

  const [whole, resumed] = outcomes;
  expect(resumed).toEqual(whole);
});
