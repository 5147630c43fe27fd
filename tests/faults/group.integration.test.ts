import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { eventually } from '../support/kafka.ts';
import type { TrialWorker } from '../support/trial/process.ts';
import { randomFor } from '../support/trial/random.ts';
import { type Trial, withTrial } from '../support/trial/trial.ts';

const STORM_MS = 20_000;
const PARTITIONS = 4;

/** Partitions of the first sub-topology whose tasks run in a worker. */
async function heldBy(worker: TrialWorker): Promise<number[]> {
  const tasks = await worker.tasks();
  return tasks
    .filter(({ group, life }) => group === 'trial.input' && life === 'running')
    .map(({ partition }) => partition)
    .sort();
}

async function whenHeld(workers: readonly TrialWorker[], counts: readonly number[]): Promise<void> {
  let found: number[] = [];
  await eventually(`partitions are held ${counts.join(' + ')}`, async () => {
    const held = await Promise.all(workers.map(heldBy));
    found = held.map(({ length }) => length).sort();
    return String(found) === String(counts) && new Set(held.flat()).size === PARTITIONS;
  });
}

/** When a worker runs every task of every sub-topology: whatever another had begun is fenced. */
async function whenAlone({ topology }: Trial, worker: TrialWorker): Promise<void> {
  await eventually('all tasks are here', async () => {
    const running = (await worker.tasks()).filter(({ life }) => life === 'running');
    return running.length === topology.subTopologies.length * PARTITIONS;
  });
}

function isFrozen({ pid }: TrialWorker): boolean {
  return /^\d+ \(.*\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

// At the same time: most of each is waiting for the group.
describe.concurrent('each event is processed exactly once', () => {
  it('when a worker that was frozen in the middle of a commit wakes up', () =>
    withTrial({ random: randomFor('zombie') }, async (trial) => {
      await trial.start();
      const nth = trial.random.int(20, 40);
      const hooks = [{ at: 'end-transaction', nth, action: 'freeze' } as const];
      // Not awaited: on a busy machine it may freeze before it is ready.
      const zombie = trial.startWorker({ hooks });
      const other = await trial.addWorker();
      await eventually('it is frozen', () => isFrozen(zombie));
      await whenAlone(trial, other);
      await delay(1_000);
      zombie.signal('SIGCONT');
      // It comes back into the group, and what it had begun has come to nothing.
      await whenHeld([zombie, other], [2, 2]);
      await trial.finish();
      expect(zombie.log).toContain('another owner of this transactional id took over');
    }));

  it('through a storm of rebalances', () =>
    withTrial({ random: randomFor('storm') }, async (trial) => {
      await trial.start();
      await trial.addWorker();
      await storm(trial, Date.now() + STORM_MS);
      await trial.finish();
    }));

  it('while workers are added and removed under load', () =>
    withTrial({ random: randomFor('scaling') }, async (trial) => {
      await trial.start();
      const first = await trial.addWorker();
      await whenHeld([first], [PARTITIONS]);
      const [second, third] = await Promise.all([trial.addWorker(), trial.addWorker()]);
      await whenHeld([first, second, third], [1, 1, 2]);
      await delay(1_000);
      expect(await first.end('SIGTERM'), first.logFile).toBe(0);
      await whenHeld([second, third], [2, 2]);
      await trial.finish();
    }));
});

/** Members join and leave, in good order or not, every second or two. */
async function storm(trial: Trial, until: number): Promise<void> {
  const members: TrialWorker[] = [];
  while (Date.now() < until) {
    const leaving = members.length === 2 ? members.shift() : undefined;
    if (leaving === undefined) members.push(trial.startWorker());
    else void leaving.end(trial.random.int(1, 3) === 1 ? 'SIGKILL' : 'SIGTERM');
    await delay(trial.random.int(1_000, 2_000));
  }
}
