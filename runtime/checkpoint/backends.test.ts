import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Change, Position, StateBackend } from '../state/backend.ts';
import { openBackend, removeState } from '../state/open-backend.ts';
import { TASK, testRoot } from './fixtures.ts';
import { restoreCheckpoint } from './restore.ts';
import { writeCheckpoint } from './write.ts';

let root: Awaited<ReturnType<typeof testRoot>>;
beforeAll(async () => {
  root = await testRoot();
});
afterAll(() => root.remove());

const STORES = [{ name: 'counts', version: 1 }];
const KEYS = 2_000;

function positionAt(nextOffset: number): Position {
  return { nextOffset: BigInt(nextOffset), epoch: nextOffset, part: 0, parts: 1, logBytes: 1 };
}

/** The epoch that ends before `offset` writes it to every tenth key, another tenth each time. */
function valueAt(key: number, offset: number): number | undefined {
  for (let at = offset; at > 0 && at > offset - 10; at -= 1) if (key % 10 === at % 10) return at;
  return undefined;
}

function applyEpoch(backend: StateBackend, offset: number): void {
  const changes: Change[] = [];
  for (let key = 0; key < KEYS; key += 1) {
    if (key % 10 !== offset % 10) continue;
    const bytes = Buffer.from(`${offset}`.padEnd(60, '.'));
    const name = `key-${String(key).padStart(6, '0')}`;
    changes.push({ key: name, deleted: false, bytes, start: 0, end: bytes.length });
  }
  backend.apply([{ store: 0, changes }], positionAt(offset));
}

function expectStateAt(backend: StateBackend, offset: number): void {
  const found = backend.range(0, '', undefined, KEYS + 1);
  const expected = Array.from({ length: KEYS }, (_, key) => valueAt(key, offset));
  expect(found.map(({ value }) => Number.parseInt(value.toString('latin1'), 10))).toEqual(
    expected.filter((value) => value !== undefined),
  );
}

describe.each([
  ['lmdb', 'plain', {}],
  // Small segments: runs are made, and in checkpoints, all the time.
  ['lmdb', 'expiring', { ttlMs: 1_000 }],
  ['memory', 'plain', {}],
] as const)('a checkpoint of the %s backend, its store %s', (kind, _, expiry) => {
  const stores = STORES.map((store) => ({ ...store, ...expiry }));
  const open = (dir: string) =>
    openBackend({ kind, dir, identity: TASK, stores, maxBytes: 2 ** 28, segmentEntries: 300 });

  it('is the state at one offset, though the task went on; and the task goes on from it', async () => {
    const storage = root.newStorage();
    const dir = root.newDir();
    const backend = await open(dir);
    let offset = 0;
    let running = true;
    const task = (async () => {
      while (running) {
        offset += 1;
        applyEpoch(backend, offset);
        await nextTurn();
      }
    })();
    while (offset < 20) await nextTurn();
    for (let round = 0; round < 5; round += 1) {
      const { manifest } = await writeCheckpoint({
        storage,
        identity: TASK,
        backend: kind,
        snapshot: async (into) => {
          const nextOffset = backend.position?.nextOffset ?? 0n;
          return { nextOffset, files: await backend.snapshot(into) };
        },
        stagingDir: root.newDir(),
        versions: {},
      });
      const restored = root.newDir();
      expect(await restoreCheckpoint(storage, TASK, restored, { backend: kind })).toEqual(manifest);
      expect(manifest.files.length > 1).toBe('ttlMs' in expiry);
      const copy = await open(restored);
      // LMDB's copy begins on a thread of its own, so an epoch or two may be in it that came after the call.
      const at = copy.position?.nextOffset ?? 0n;
      expect(at).toBeGreaterThanOrEqual(manifest.changelogOffset);
      expectStateAt(copy, Number(at));
      applyEpoch(copy, Number(at) + 1);
      expectStateAt(copy, Number(at) + 1);
      await copy.close();
    }
    running = false;
    await task;
    expect(offset).toBeGreaterThan(25);
    await backend.close();

    // A machine's state gives way to the checkpoint only when nobody has it open.
    const makeRoom = () => removeState(dir);
    const holder = await open(dir);
    await expect(restoreCheckpoint(storage, TASK, dir, { makeRoom })).rejects.toMatchObject({
      code: 'STATE_LOCKED',
    });
    expect(holder.position?.nextOffset ?? 0n).toBe(kind === 'lmdb' ? BigInt(offset) : 0n);
    await holder.close();
    const manifest = await restoreCheckpoint(storage, TASK, dir, { makeRoom });
    const reopened = await open(dir);
    const at = reopened.position?.nextOffset ?? 0n;
    expect(at).toBeGreaterThanOrEqual(manifest?.changelogOffset ?? 0n);
    expectStateAt(reopened, Number(at));
    await reopened.close();
  }, 120_000);
});
