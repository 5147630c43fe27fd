import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { killComponent, startComponent, stopComponent } from '../../compose/stack.ts';
import { type OwnStack, startOwnStack } from '../support/own-stack.ts';
import { randomFor } from '../support/trial/random.ts';
import { withTrial } from '../support/trial/trial.ts';

describe('each event is processed exactly once through restarts of the broker', () => {
  let own: OwnStack;

  beforeAll(async () => {
    own = await startOwnStack('faults-broker');
  }, 120_000);

  afterAll(() => own?.remove(), 60_000);

  it('killed, and stopped in good order, under load', () =>
    withTrial({ random: randomFor('broker restarts'), stack: own.endpoints }, async (trial) => {
      await trial.start();
      const workers = await Promise.all([trial.addWorker(), trial.addWorker()]);
      await delay(trial.random.int(1_000, 3_000));
      await killComponent(own.dir, 'kafka', 'SIGKILL');
      await startComponent(own.dir, 'kafka');
      await trial.recorded(trial.load.published + 500);
      await delay(trial.random.int(500, 1_500));
      await stopComponent(own.dir, 'kafka');
      await delay(trial.random.int(500, 2_000));
      await startComponent(own.dir, 'kafka');
      await trial.recorded(trial.load.published + 500);
      // They have outlived it, all of them.
      for (const worker of workers) expect(worker.running, worker.logFile).toBe(true);
      await trial.finish();
    }));
});
