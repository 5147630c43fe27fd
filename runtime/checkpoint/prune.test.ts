import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { type CheckpointEntry, checkpointsOf } from './catalog.ts';
import { contentsAt, filesIn, TASK, testRoot, write } from './fixtures.ts';
import { checkpointPrefix, newCheckpointId } from './layout.ts';
import { ORPHAN_MS, pruneCheckpoints, selectPruned } from './prune.ts';
import { restoreCheckpoint } from './restore.ts';
import type { CheckpointStorage } from './storage.ts';

let root: Awaited<ReturnType<typeof testRoot>>;
beforeAll(async () => {
  root = await testRoot();
});
afterAll(() => root.remove());

const NOW = 10 * ORPHAN_MS;

function entry(state: CheckpointEntry['state'], offset: bigint, ageMs = 0): CheckpointEntry {
  const id = newCheckpointId(offset);
  const prefix = checkpointPrefix(TASK, id);
  const listed = { identity: TASK, id, changelogOffset: offset, prefix, bytes: 1 };
  const common = { ...listed, modifiedMs: NOW - ageMs };
  if (state === 'incomplete') return { ...common, state };
  if (state === 'broken') {
    const problem = new ReachflowError('broken', {
      code: 'CHECKPOINT_CORRUPT',
      domain: 'external',
    });
    return { ...common, state, problem };
  }
  // What is in the manifest does not matter here.
  return { ...common, state, manifest: { changelogOffset: offset } as never };
}

const prunedOffsets = (entries: readonly CheckpointEntry[], keep = 2, reached = 1_000n) =>
  selectPruned(entries, { keep, reached, now: NOW }).map(({ changelogOffset }) =>
    Number(changelogOffset),
  );

describe('selectPruned', () => {
  it('keeps the newest', () => {
    const entries = [10n, 40n, 20n, 30n].map((offset) => entry('complete', offset));
    expect(prunedOffsets(entries)).toEqual([20, 10]);
    expect(prunedOffsets(entries, 4)).toEqual([]);
  });

  it('does not count broken ones, and removes those behind the newest', () => {
    const entries = [
      entry('broken', 50n),
      entry('complete', 40n),
      entry('broken', 35n),
      entry('complete', 30n),
      entry('broken', 20n),
      entry('complete', 10n),
    ];
    expect(prunedOffsets(entries)).toEqual([20, 10]);
  });

  it('removes uploads that ended an hour ago, not those under way', () => {
    const entries = [
      entry('incomplete', 60n, ORPHAN_MS + 1),
      entry('incomplete', 50n, ORPHAN_MS - 1),
      entry('complete', 40n),
      entry('complete', 30n),
      entry('incomplete', 20n, 1),
      entry('incomplete', 10n, 2 * ORPHAN_MS),
    ];
    expect(prunedOffsets(entries)).toEqual([60, 10]);
  });

  it('does not let a former topic of the same name hide the new one', () => {
    const entries = [
      entry('complete', 9_000n, ORPHAN_MS + 1),
      entry('complete', 8_000n, 10),
      entry('complete', 40n),
      entry('complete', 30n),
    ];
    expect(prunedOffsets(entries, 2, 40n)).toEqual([9_000]);
  });

  it('leaves those of a successor, when an owner that was paused prunes late', () => {
    const entries = [70n, 60n, 50n, 40n].map((offset) => entry('complete', offset, 1_000));
    expect(prunedOffsets(entries, 2, 40n)).toEqual([]);
  });

  it('never selects the newest complete one', () => {
    const one = fc
      .tuple(
        fc.constantFrom<CheckpointEntry['state'][]>('complete', 'incomplete', 'broken'),
        fc.bigInt({ min: 0n, max: 50n }),
        fc.nat(3 * ORPHAN_MS),
      )
      .map(([state, offset, age]) => entry(state, offset, age));
    fc.assert(
      fc.property(fc.array(one), fc.integer({ min: 1, max: 4 }), (entries, keep) => {
        const pruned = selectPruned(entries, { keep, reached: 50n, now: NOW });
        const complete = entries
          .filter(({ state }) => state === 'complete')
          .sort((a, b) => (a.id < b.id ? 1 : -1));
        for (const kept of complete.slice(0, keep)) expect(pruned).not.toContain(kept);
        for (const gone of complete.slice(keep)) expect(pruned).toContain(gone);
      }),
    );
  });
});

class Crash extends Error {}

/** The process that uses it dies at one of its steps: before it, or in its middle. Then nothing works any more. */
function crashingAt(
  storage: CheckpointStorage,
  step: number,
  inMiddle: boolean,
): CheckpointStorage {
  let left = step;
  let dead = false;
  const step1 = async <T>(work: () => Promise<T>, half: () => Promise<unknown>): Promise<T> => {
    if (dead) throw new Crash();
    if (left > 0) {
      left -= 1;
      return work();
    }
    dead = true;
    if (inMiddle) await half();
    throw new Crash();
  };
  const nothing = () => Promise.resolve();
  /** A part of what is to be removed is gone: any one object of it. */
  const removeSome = async (prefix: string): Promise<void> => {
    const [first] = await storage.list(prefix);
    if (first !== undefined) await storage.remove(first.key);
  };
  return {
    location: storage.location,
    stagingDir: storage.stagingDir,
    putFile: (key, path, options) =>
      step1(
        () => storage.putFile(key, path, options),
        () => storage.putBytes(key, Buffer.from('half')),
      ),
    // Atomic by contract: its middle is that only the answer is lost.
    putBytes: (key, bytes) =>
      step1(
        () => storage.putBytes(key, bytes),
        () => storage.putBytes(key, bytes),
      ),
    directories: (prefix) => storage.directories(prefix),
    remove: (key) =>
      step1(
        () => storage.remove(key),
        () => storage.remove(key),
      ),
    removePrefix: (prefix) =>
      step1(
        () => storage.removePrefix(prefix),
        () => removeSome(prefix),
      ),
    removeUnfinished: (prefix, before) =>
      step1(() => storage.removeUnfinished(prefix, before), nothing),
    list: (prefix) => step1(() => storage.list(prefix), nothing),
    getBytes: (key, max) => step1(() => storage.getBytes(key, max), nothing),
    getFile: (key, path, options) => step1(() => storage.getFile(key, path, options), nothing),
    digest: (key, options) => step1(() => storage.digest(key, options), nothing),
    close: () => storage.close(),
  };
}

describe('crashes', () => {
  it('never lose the newest checkpoint that was written, at whatever step they come', async () => {
    const crash = fc.record({ step: fc.nat(30), inMiddle: fc.boolean() });
    const attempts = fc.array(fc.option(crash), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(attempts, fc.integer({ min: 1, max: 3 }), async (plan, keep) => {
        const storage = root.newStorage();
        let newest: bigint | undefined;
        for (const [index, crashes] of plan.entries()) {
          const offset = BigInt(index + 1) * 10n;
          const mortal =
            crashes === null ? storage : crashingAt(storage, crashes.step, crashes.inMiddle);
          try {
            await write(mortal, offset);
            newest = offset;
            await pruneCheckpoints(mortal, TASK, { keep, reached: offset, now: Date.now() });
          } catch (error) {
            if (!(error instanceof Crash)) throw error;
          }
          const dir = root.newDir();
          const restored = await restoreCheckpoint(storage, TASK, dir);
          // A manifest whose answer was lost may count, too.
          const found = restored?.changelogOffset;
          if (newest !== undefined) expect(found).toBeGreaterThanOrEqual(newest);
          if (found !== undefined) expect(await filesIn(dir)).toEqual(contentsAt(found));
          const broken = (await checkpointsOf(storage, TASK)).filter(
            ({ state }) => state === 'broken',
          );
          expect(broken).toEqual([]);
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  it('leave nothing behind for ever', async () => {
    const storage = root.newStorage();
    await write(storage, 10n);
    for (const step of [0, 1, 2]) {
      for (const inMiddle of [false, true]) {
        await write(crashingAt(storage, step, inMiddle), 20n).catch(() => undefined);
      }
    }
    const remains = (await checkpointsOf(storage, TASK)).filter(
      ({ state }) => state === 'incomplete',
    );
    expect(remains.length).toBeGreaterThan(1);
    const past = new Date(Date.now() - 2 * ORPHAN_MS);
    for (const { key } of await storage.list(''))
      await utimes(join(storage.location, key), past, past);
    await write(storage, 30n);
    const policy = { keep: 2, reached: 30n, now: Date.now() };
    await pruneCheckpoints(storage, TASK, policy);
    const left = await checkpointsOf(storage, TASK);
    expect(left.every(({ state }) => state === 'complete')).toBe(true);
    expect(left).toHaveLength(2);
  });
});
