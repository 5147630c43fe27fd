import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ExactlyOnceTrial } from '../support/exactly-once.ts';

const KILLS = 6;

describe('the events pipeline processes each event exactly once', () => {
  let trial: ExactlyOnceTrial;
  beforeEach(async () => {
    trial = new ExactlyOnceTrial();
    await trial.start();
  });
  afterEach(() => trial.close());

  it(`through ${KILLS} kills of its worker at random moments`, { timeout: 180_000 }, async () => {
    for (let kill = 0; kill < KILLS; kill += 1) {
      const worker = await trial.addWorker();
      await delay(500 + Math.random() * 4_000);
      await worker.end('SIGKILL');
    }
    await trial.addWorker();
    await trial.finish();
  });

  it('through workers that come, go and die beside each other', { timeout: 180_000 }, async () => {
    const pause = () => delay(1_500 + Math.random() * 1_500);
    const first = await trial.addWorker();
    await pause();
    const second = await trial.addWorker();
    await pause();
    const third = await trial.addWorker();
    await pause();
    expect(await first.end('SIGTERM')).toBe(0);
    await pause();
    await second.end('SIGKILL');
    await pause();
    await trial.addWorker();
    await pause();
    expect(await third.end('SIGTERM')).toBe(0);
    await trial.finish();
  });

  it('when a worker that was frozen past its session wakes up', { timeout: 180_000 }, async () => {
    const zombie = await trial.addWorker();
    await delay(2_500);
    zombie.signal('SIGSTOP');
    await trial.addWorker();
    await delay(10_000);
    zombie.signal('SIGCONT');
    await delay(4_000);
    await trial.finish();
  });
});
