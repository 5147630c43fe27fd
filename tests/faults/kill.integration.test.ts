import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ExactlyOnceTrial } from '../support/exactly-once.ts';
import { eventually } from '../support/kafka.ts';
import { randomFor } from '../support/trial/random.ts';
import type { HookPoint } from '../support/trial/settings.ts';
import { withTrial } from '../support/trial/trial.ts';

const POINTS: HookPoint[] = ['record', 'commit', 'end-transaction', 'ended', 'committed'];

// At the same time: most of each is waiting for the group to notice that a member is dead.
describe.concurrent('each event is processed exactly once through kill -9 of its worker, and failures', () => {
  it('at every point between a record and the local store, with its state kept', () =>
    withTrial({ random: randomFor('kill points') }, async (trial) => {
      await trial.start();
      const stateDir = trial.newStateDir();
      for (const at of POINTS) {
        const nth = at === 'record' ? trial.random.int(200, 2_000) : trial.random.int(2, 12);
        const worker = trial.startWorker({ stateDir, hooks: [{ at, nth, action: 'kill' }] });
        expect(await worker.exited(), at).toBeNull();
      }
      await trial.addWorker({ stateDir });
      await trial.finish();
    }));

  it('through failures at the same points, after which the process goes on', () =>
    withTrial({ random: randomFor('failures') }, async (trial) => {
      await trial.start();
      const hooks = POINTS.flatMap((at) =>
        [1, 2].map((n) => {
          const nth =
            at === 'record' ? n * trial.random.int(500, 800) : n * trial.random.int(8, 16);
          return { at, nth, action: 'fail' } as const;
        }),
      );
      const worker = await trial.addWorker({ hooks });
      for (const at of POINTS) {
        await eventually(`failed at ${at}`, () => worker.log.includes(`failed at ${at}, as`));
      }
      await trial.finish();
    }));

  it('while it restores, and with its state directory deleted in between', () =>
    withTrial({ random: randomFor('kills during restore') }, async (trial) => {
      await trial.start();
      const first = await trial.addWorker();
      // So much that there is something to restore, however slow the machine.
      await trial.recorded(1_500);
      await delay(trial.random.int(0, 1_000));
      await first.end('SIGKILL');
      for (let kill = 0; kill < 2; kill += 1) {
        const nth = trial.random.int(1, 8);
        const worker = trial.startWorker({ hooks: [{ at: 'restore', nth, action: 'kill' }] });
        expect(await worker.exited()).toBeNull();
        rmSync(worker.stateDir, { recursive: true, force: true });
      }
      await trial.addWorker();
      await trial.finish();
    }));

  it('of the events pipeline, as a user runs it', async () => {
    const random = randomFor('kills of the events pipeline');
    const trial = new ExactlyOnceTrial();
    try {
      await trial.start();
      for (let kill = 0; kill < 2; kill += 1) {
        const worker = await trial.addWorker();
        await delay(random.int(500, 2_500));
        await worker.end('SIGKILL');
      }
      const leaving = await trial.addWorker();
      await trial.addWorker();
      expect(await leaving.end('SIGTERM')).toBe(0);
      await trial.finish();
    } finally {
      await trial.close();
    }
  });
});
