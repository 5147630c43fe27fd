import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { checkpointsOf } from './catalog.ts';
import { type CheckpointedTask, Checkpointer } from './checkpointer.ts';
import { checkpointConfigSchema } from './config.ts';
import { contentsAt, snapshotOf, TASK, testRoot } from './fixtures.ts';
import type { CheckpointStorage } from './storage.ts';

let root: Awaited<ReturnType<typeof testRoot>>;
const started: Checkpointer[] = [];
beforeAll(async () => {
  root = await testRoot();
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((checkpointer) => checkpointer.stop()));
});
afterAll(() => root.remove());

const CONFIG = { ...checkpointConfigSchema.parse({}), intervalMs: 60, everyRecords: 0 };

/** The machine may be busy. */
const POLL = { timeout: 8_000 };

function startCheckpointer(storage: CheckpointStorage, config: Partial<typeof CONFIG> = {}) {
  const checkpointer = new Checkpointer({
    storage,
    config: { ...CONFIG, ...config },
    stagingDir: root.newDir(),
    versions: { reachflow: 'test' },
    logger: pino({ level: 'silent' }),
  });
  checkpointer.start();
  started.push(checkpointer);
  return checkpointer;
}

/** A task whose state advances by hand. */
class TestTask implements CheckpointedTask {
  readonly identity;
  readonly backend = 'lmdb' as const;
  offset: bigint | undefined;
  processed = 0;
  /** Snapshots under way, and the most there ever were. */
  now = 0;
  most = 0;
  gate: Promise<void> = Promise.resolve();

  constructor(partition = 3, offset = 1n) {
    this.identity = { ...TASK, partition };
    this.offset = offset;
  }

  position(): bigint | undefined {
    return this.offset;
  }

  records(): number {
    return this.processed;
  }

  async snapshot(dir: string) {
    this.now += 1;
    this.most = Math.max(this.most, this.now);
    try {
      const offset = this.offset ?? 0n;
      await this.gate;
      return await snapshotOf(offset, contentsAt(offset))(dir);
    } finally {
      this.now -= 1;
    }
  }
}

const offsetsIn = async (storage: CheckpointStorage, task = new TestTask()) =>
  (await checkpointsOf(storage, task.identity)).map(({ changelogOffset }) =>
    Number(changelogOffset),
  );

describe('Checkpointer', () => {
  it('saves what changed, once, and keeps the newest', async () => {
    const storage = root.newStorage();
    const checkpointer = startCheckpointer(storage, { keep: 2 });
    const task = new TestTask();
    checkpointer.register(task);
    for (const offset of [10n, 20n, 30n]) {
      task.offset = offset;
      await expect.poll(() => offsetsIn(storage), POLL).toContain(Number(offset));
    }
    await sleep(300);
    await expect.poll(() => offsetsIn(storage), POLL).toEqual([30, 20]);
    expect(checkpointer.stats()).toMatchObject([
      { identity: task.identity, failures: 0, lastOffset: 30n, running: false },
    ]);
    const [stats] = checkpointer.stats();
    expect(stats?.written).toBeLessThanOrEqual(4);
    expect(stats?.lastBytes).toBeGreaterThan(100);
    expect(Math.abs((stats?.lastAt ?? 0) - Date.now())).toBeLessThan(5_000);
  });

  it('does not save an empty state, nor one that an earlier owner saved', async () => {
    const storage = root.newStorage();
    const first = startCheckpointer(storage);
    first.register(new TestTask(3, 10n));
    await first.checkpoint(TASK);
    await first.stop();
    const second = startCheckpointer(storage);
    second.register(new TestTask(3, 10n));
    const empty = new TestTask(4);
    empty.offset = undefined;
    second.register(empty);
    await expect.poll(() => second.stats()[0]?.lastOffset, POLL).toBe(10n);
    await sleep(300);
    expect(second.stats().map(({ written }) => written)).toEqual([0, 0]);
    expect(await offsetsIn(storage)).toEqual([10]);
  });

  it('saves after a number of records, before the interval', async () => {
    const storage = root.newStorage();
    const checkpointer = startCheckpointer(storage, { intervalMs: 3_600_000, everyRecords: 100 });
    const task = new TestTask(3, 10n);
    checkpointer.register(task);
    task.processed = 99;
    await sleep(1_200);
    expect(await offsetsIn(storage)).toEqual([]);
    task.processed = 100;
    await expect.poll(() => offsetsIn(storage), POLL).toEqual([10]);
  });

  it('does not spend most of its time on a state that takes long to save', async () => {
    const storage = root.newStorage();
    const checkpointer = startCheckpointer(storage, { everyRecords: 1 });
    const task = new TestTask(3, 10n);
    task.gate = sleep(200);
    checkpointer.register(task);
    await expect.poll(() => checkpointer.stats()[0]?.written, POLL).toBe(1);
    task.offset = 20n;
    task.processed = 1_000;
    await sleep(1_000);
    expect(await offsetsIn(storage)).toEqual([10]);
    await expect.poll(() => offsetsIn(storage), POLL).toEqual([20, 10]);
  });

  it('saves no more tasks at a time than it may, and each in its turn', async () => {
    const storage = root.newStorage();
    let now = 0;
    let most = 0;
    const checkpointer = startCheckpointer(storage, { concurrency: 2 });
    for (let partition = 0; partition < 8; partition += 1) {
      const task = new TestTask(partition, 5n);
      checkpointer.register({
        ...task,
        position: () => task.position(),
        records: () => 0,
        snapshot: async (dir) => {
          now += 1;
          most = Math.max(most, now);
          await sleep(30);
          now -= 1;
          return task.snapshot(dir);
        },
      });
    }
    await expect
      .poll(() => checkpointer.stats().every(({ written }) => written === 1), POLL)
      .toBe(true);
    expect(most).toBe(2);
  });

  it('counts failures, goes on, and recovers', async () => {
    const storage = root.newStorage();
    const dir = storage.location;
    // A file where the directory should be: nothing can be written below it.
    await writeFile(dir, '');
    const checkpointer = startCheckpointer(storage);
    checkpointer.register(new TestTask(3, 10n));
    await expect.poll(() => checkpointer.stats()[0]?.failuresInARow, POLL).toBeGreaterThan(1);
    expect(checkpointer.stats()[0]?.lastFailure).toBe('CHECKPOINT_STORAGE_UNAVAILABLE');
    await rm(dir);
    await expect.poll(() => checkpointer.stats()[0]?.written, POLL).toBe(1);
    expect(checkpointer.stats()[0]).toMatchObject({ failuresInARow: 0, lastFailure: undefined });
    expect(checkpointer.stats()[0]?.failures).toBeGreaterThan(1);
  });

  it('gives up what takes too long, and does not let snapshots of a task overlap', async () => {
    const storage = root.newStorage();
    const checkpointer = startCheckpointer(storage, { timeoutMs: 100 });
    const task = new TestTask(3, 10n);
    const gate = Promise.withResolvers<void>();
    task.gate = gate.promise;
    checkpointer.register(task);
    await expect.poll(() => checkpointer.stats()[0]?.failures, POLL).toBe(2);
    expect(checkpointer.stats()[0]?.lastFailure).toBe('CHECKPOINT_TIMEOUT');
    gate.resolve();
    await expect.poll(() => offsetsIn(storage), POLL).toEqual([10]);
    expect(task.most).toBe(1);
  });

  it('lets a task go only when its state is not being read any more', async () => {
    const storage = root.newStorage();
    const checkpointer = startCheckpointer(storage);
    const task = new TestTask(3, 10n);
    const gate = Promise.withResolvers<void>();
    task.gate = gate.promise;
    checkpointer.register(task);
    await expect.poll(() => task.now, POLL).toBe(1);
    let gone = false;
    const going = checkpointer.unregister(TASK).then(() => {
      gone = true;
    });
    await sleep(50);
    expect(gone).toBe(false);
    gate.resolve();
    await going;
    await checkpointer.stop();
    expect(checkpointer.stats()).toEqual([]);
    expect(await offsetsIn(storage)).toEqual([]);
    await expect.poll(() => readdir(storage.stagingDir)).toEqual([]);
    checkpointer.register(task);
  });

  it('removes what killed processes left where snapshots are written, once it is old', async () => {
    const storage = root.newStorage();
    for (const name of ['old', 'new']) {
      await mkdir(join(storage.stagingDir, name), { recursive: true });
      await writeFile(join(storage.stagingDir, name, 'data.mdb'), 'x');
    }
    const past = new Date(Date.now() - 7_200_000);
    await utimes(join(storage.stagingDir, 'old'), past, past);
    const checkpointer = startCheckpointer(storage, { intervalMs: 3_600_000 });
    checkpointer.register(new TestTask(3, 10n));
    await checkpointer.checkpoint(TASK);
    expect(await readdir(storage.stagingDir)).toEqual(['new']);
  });

  it('saves on demand, one at a time', async () => {
    const storage = root.newStorage();
    const checkpointer = startCheckpointer(storage, { intervalMs: 3_600_000 });
    const task = new TestTask(3, 10n);
    checkpointer.register(task);
    const all = await Promise.all([checkpointer.checkpoint(TASK), checkpointer.checkpoint(TASK)]);
    expect(all.map(({ changelogOffset }) => changelogOffset)).toEqual([10n, 10n]);
    expect(task.most).toBe(1);
    expect(checkpointer.stats()[0]?.written).toBe(2);
    expect(() => checkpointer.register(new TestTask())).toThrow(/already/);
  });
});
