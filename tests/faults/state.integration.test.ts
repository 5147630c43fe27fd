import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/kafka.ts';
import { flipBytes, stateFiles, truncate } from '../support/trial/damage.ts';
import { randomFor } from '../support/trial/random.ts';
import { canMount, inSmallDisk, smallDiskPath } from '../support/trial/small-disk.ts';
import { withTrial } from '../support/trial/trial.ts';

const SET_ASIDE = 'state cannot be used, it is restored';
const MEGABYTE = 1_048_576;

describe.concurrent('each event is processed exactly once', () => {
  it('when the local store is damaged between two runs: it is set aside and restored', () =>
    withTrial({ random: randomFor('damaged state') }, async (trial) => {
      await trial.start({ load: false });
      await trial.load.burst(3_000);
      const first = await trial.addWorker();
      const { stateDir } = first;
      await trial.recorded(2_900);
      expect(await first.end('SIGTERM')).toBe(0);
      for (const path of stateFiles(stateDir)) flipBytes(path, trial.random, { silently: false });

      await trial.load.burst(1_000);
      const second = await trial.addWorker({ stateDir });
      expect(second.log).toContain(SET_ASIDE);
      await trial.recorded(3_900);
      await second.end('SIGKILL');
      for (const path of stateFiles(stateDir)) truncate(path);

      await trial.load.burst(1_000);
      const third = await trial.addWorker({ stateDir });
      expect(third.log).toContain(SET_ASIDE);
      await trial.finish();
    }));

  it.skipIf(!canMount())('when the disk is full for a while: tasks wait, and go on', () =>
    withTrial({ random: randomFor('full disk') }, async (trial) => {
      const dir = mkdtempSync(join(tmpdir(), 'reachflow-small-disk-'));
      await trial.start();
      const stateDir = join(dir, 'state');
      const worker = await trial.addWorker({ stateDir, command: inSmallDisk(dir, '96m') });
      const ballast = join(smallDiskPath(worker.pid, dir), 'ballast');
      try {
        writeFileSync(ballast, Buffer.alloc(96 * MEGABYTE));
      } catch (error) {
        // As far as there is room.
        expect(error).toMatchObject({ code: 'ENOSPC' });
      }
      await eventually('the disk is full', () => worker.log.includes('no room for state'));
      await delay(2_000);
      const tasks = await worker.tasks();
      expect(tasks.filter(({ life }) => life === 'failed')).toEqual([]);
      rmSync(ballast);
      await trial.recorded(trial.load.published + 500);
      expect(worker.running).toBe(true);
      await trial.finish();
      rmSync(dir, { recursive: true });
    }),
  );
});
