import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyValueStore, numberSerde } from '../state/contract.ts';
import { openBackend } from '../state/open-backend.ts';
import { storesOf, TaskState } from '../state/task-state.ts';
import { Checkpointer } from './checkpointer.ts';
import { checkpointConfigSchema } from './config.ts';
import { TASK, testRoot } from './fixtures.ts';
import { restoreCheckpoint } from './restore.ts';
import { checkpointedState } from './task-source.ts';

let root: Awaited<ReturnType<typeof testRoot>>;
beforeAll(async () => {
  root = await testRoot();
});
afterAll(() => root.remove());

const counts = keyValueStore('counts', numberSerde);
const SPECS = [counts];

async function openState(kind: 'lmdb' | 'memory', dir: string): Promise<TaskState> {
  const stores = storesOf(SPECS);
  const backend = await openBackend({ kind, dir, identity: TASK, stores, maxBytes: 2 ** 28 });
  // Small limits: what is committed stays pending for some epochs, and then goes to the backend.
  return new TaskState(SPECS, backend, { flushEntries: 200, flushMs: 5 });
}

describe.each(['lmdb', 'memory'] as const)('a task on the %s backend', (kind) => {
  it('is rebuilt from its newest checkpoint and the tail of its changelog', async () => {
    const storage = root.newStorage();
    const config = { ...checkpointConfigSchema.parse({}), intervalMs: 3_600_000, everyRecords: 0 };
    const logger = pino({ level: 'silent' });
    const stagingDir = root.newDir();
    const checkpointer = new Checkpointer({ storage, config, stagingDir, versions: {}, logger });
    const state = await openState(kind, root.newDir());
    const changelog: Buffer[] = [];
    const model = new Map<string, number>();
    let records = 0;
    const runEpoch = (): void => {
      const store = state.store(counts);
      for (let i = 0; i < 50; i += 1) {
        const key = `key-${(records * 7_919) % 3_001}`;
        const count = (store.get(key) ?? 0) + 1;
        store.set(key, count);
        model.set(key, count);
        records += 1;
      }
      for (const segment of state.takeChanges()) changelog.push(Buffer.from(segment));
      state.committed(BigInt(changelog.length));
    };
    checkpointer.register(
      checkpointedState(TASK, state, {
        records: () => records,
        inputOffsets: () => ({ orders: BigInt(records) }),
        watermark: () => 5,
      }),
    );
    for (let epoch = 0; epoch < 20; epoch += 1) runEpoch();
    let manifest = await checkpointer.checkpoint(TASK);
    for (let round = 0; round < 3; round += 1) {
      const writing = checkpointer.checkpoint(TASK);
      for (let epoch = 0; epoch < 30; epoch += 1) {
        runEpoch();
        await nextTurn();
      }
      manifest = await writing;
    }
    expect(manifest).toMatchObject({ backend: kind, watermark: 5 });
    expect(manifest.entries).toBeGreaterThanOrEqual(1_000);
    expect(manifest.inputOffsets?.['orders']).toBe(manifest.changelogOffset * 50n);
    await checkpointer.unregister(TASK);
    await state.close();

    const dir = root.newDir();
    const end = BigInt(changelog.length);
    const range = { minOffset: 0n, maxOffset: end, backend: kind };
    expect(await restoreCheckpoint(storage, TASK, dir, range)).toEqual(manifest);
    const restored = await openState(kind, dir);
    const from = restored.startRestore(0n, end);
    expect(from).toBeGreaterThanOrEqual(manifest.changelogOffset);
    expect(from).toBeLessThan(end);
    for (let at = Number(from); at < changelog.length; at += 1) {
      restored.restore(changelog[at] ?? Buffer.alloc(0), BigInt(at) + 1n);
    }
    restored.endRestore();
    expect(new Map(restored.store(counts).range())).toEqual(model);
    await restored.close();
  });
});
