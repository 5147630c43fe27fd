import { describe, expect, it } from 'vitest';
import { eventually } from '../support/kafka.ts';
import { readDeadLetters, readEvents } from '../support/trial/observed.ts';
import { randomFor } from '../support/trial/random.ts';
import { POISON } from '../support/trial/topology.ts';
import { type Trial, withTrial } from '../support/trial/trial.ts';

/** No Avro; a schema that the registry does not have; a value that ends in the middle. */
const GARBAGE = [
  Buffer.from('not ours'),
  Buffer.from([0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]),
  Buffer.from([0, 0, 0, 0, 1, 0x80]),
];

async function whenOneFailed(trial: Trial) {
  const failed = async () => (await trial.tasks()).filter(({ life }) => life === 'failed');
  await eventually('a task fails', async () => (await failed()).length > 0);
  const [task, ...others] = await failed();
  expect(others).toEqual([]);
  if (task?.failure === undefined) throw new Error('a failed task says why');
  return { ...task, failure: task.failure };
}

describe('bad input', () => {
  it('that cannot be decoded goes to the DLQ as it is, and the task goes on', () =>
    withTrial({ random: randomFor('undecodable') }, async (trial) => {
      await trial.start({ load: false });
      await trial.load.burst(300);
      for (const value of GARBAGE) await trial.load.garbage('tenant-1:entity-1', value);
      await trial.load.burst(300);
      await trial.addWorker();
      await trial.finish();
      const { letters, values } = await readDeadLetters(trial.client);
      const undecodable = letters.filter((letter) => letter.endsWith(' UNDECODABLE'));
      expect(undecodable.map((letter) => values.get(letter)).sort()).toEqual(GARBAGE.toSorted());
    }));

  it('that a step throws on stops its task only, which goes on there once the step is fixed', () =>
    withTrial({ random: randomFor('poison') }, async (trial) => {
      await trial.start({ load: false });
      await trial.load.burst(500);
      const key = await trial.load.one({ payload: POISON });
      await trial.load.burst(500);
      const worker = await trial.addWorker();
      const { group, partition, failure, attempts } = await whenOneFailed(trial);
      expect(group).toBe('trial.input');
      expect(attempts).toBe(3);
      expect(failure.code).toBe('STEP_FAILED');
      expect(failure.message).toContain('step trial.check threw on webhook.received[');
      expect(failure.message).toMatch(new RegExp(`\\[${partition}\\]@\\d+, key "${key}"`));
      expect(failure.message).toContain('poisoned, as the test wants it');
      expect(worker.log.match(/opening it again from what is committed/g)).toHaveLength(2);

      // The other partitions go on, with what comes now, too.
      const before = await readEvents(trial.client, trial.codec, 4);
      await trial.load.burst(500);
      await eventually('the others go on', async () => {
        const now = await readEvents(trial.client, trial.codec, 4);
        return now.every((ids, p) => p === partition || ids.length > (before[p]?.length ?? 0));
      });
      expect((await readEvents(trial.client, trial.codec, 4))[partition]).toEqual(
        before[partition],
      );
      expect(await worker.end('SIGTERM')).toBe(0);
      await trial.addWorker({ stateDir: worker.stateDir, fixed: true });
      await trial.finish();
    }));
});
