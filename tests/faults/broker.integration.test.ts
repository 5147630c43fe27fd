import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stackConfigSchema } from '../../compose/config.ts';
import {
  downStack,
  killComponent,
  type StackEndpoints,
  startComponent,
  stopComponent,
  upStack,
} from '../../compose/stack.ts';
import { randomFor } from '../support/trial/random.ts';
import { withTrial } from '../support/trial/trial.ts';

describe('each event is processed exactly once through restarts of the broker', () => {
  let dir: string;
  let stack: Pick<StackEndpoints, 'kafka' | 'registry'>;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'reachflow-faults-broker-'));
    const { endpoints } = await upStack({
      engine: 'embedded',
      dir,
      cacheDir: process.env['REACHFLOW_STACK_CACHE_DIR'] ?? stackConfigSchema.parse({}).cacheDir,
      components: ['kafka', 'registry'],
      onProgress: () => undefined,
    });
    stack = endpoints;
  }, 120_000);

  afterAll(async () => {
    await downStack(dir);
    await rm(dir, { recursive: true, force: true });
  }, 60_000);

  it('killed, and stopped in good order, under load', () =>
    withTrial({ random: randomFor('broker restarts'), stack }, async (trial) => {
      await trial.start();
      const workers = await Promise.all([trial.addWorker(), trial.addWorker()]);
      await delay(trial.random.int(1_000, 3_000));
      await killComponent(dir, 'kafka', 'SIGKILL');
      await startComponent(dir, 'kafka');
      await trial.recorded(trial.load.published + 500);
      await delay(trial.random.int(500, 1_500));
      await stopComponent(dir, 'kafka');
      await delay(trial.random.int(500, 2_000));
      await startComponent(dir, 'kafka');
      await trial.recorded(trial.load.published + 500);
      // They have outlived it, all of them.
      for (const worker of workers) expect(worker.running, worker.logFile).toBe(true);
      await trial.finish();
    }));
});
