import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkpointsOf, problemOf } from './catalog.ts';
import type { DirectoryStorage } from './directory-storage.ts';
import { contentsAt, filesIn, snapshotOf, TASK, testRoot, write } from './fixtures.ts';
import { MANIFEST } from './layout.ts';
import { decodeManifest, encodeManifest } from './manifest.ts';
import { restoreCheckpoint, type SkippedCheckpoint, verifyCheckpoint } from './restore.ts';
import { type WrittenCheckpoint, writeCheckpoint } from './write.ts';

let root: Awaited<ReturnType<typeof testRoot>>;
beforeAll(async () => {
  root = await testRoot();
});
afterAll(() => root.remove());

function pathIn(storage: DirectoryStorage, { prefix }: WrittenCheckpoint, name: string): string {
  return join(storage.location, prefix, name);
}

async function flipByte(path: string): Promise<void> {
  const bytes = await readFile(path);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

/** Each is a way in which the newest checkpoint can have gone bad, and what is said about it. */
const DAMAGES: readonly {
  readonly name: string;
  readonly code: string;
  readonly says: RegExp;
  readonly damage: (storage: DirectoryStorage, checkpoint: WrittenCheckpoint) => Promise<void>;
}[] = [
  {
    name: 'a truncated file',
    code: 'CHECKPOINT_CORRUPT',
    says: /data\.mdb .* has 10 bytes instead of/,
    damage: (storage, checkpoint) => truncate(pathIn(storage, checkpoint, 'data.mdb'), 10),
  },
  {
    name: 'a flipped byte',
    code: 'CHECKPOINT_CORRUPT',
    says: /index\.mdb .* does not match its SHA-256/,
    damage: (storage, checkpoint) => flipByte(pathIn(storage, checkpoint, 'index.mdb')),
  },
  {
    name: 'a missing file',
    code: 'CHECKPOINT_CORRUPT',
    says: /index\.mdb .* is missing/,
    damage: (storage, checkpoint) => rm(pathIn(storage, checkpoint, 'index.mdb')),
  },
  {
    name: 'a missing manifest',
    code: 'CHECKPOINT_UNUSABLE',
    says: /no manifest/,
    damage: (storage, checkpoint) => rm(pathIn(storage, checkpoint, MANIFEST)),
  },
  {
    name: 'a flipped byte in its manifest',
    code: 'CHECKPOINT_CORRUPT',
    says: /manifest of checkpoint .* (checksum|JSON)/,
    damage: (storage, checkpoint) => flipByte(pathIn(storage, checkpoint, MANIFEST)),
  },
  {
    name: 'a manifest that is too large',
    code: 'CHECKPOINT_CORRUPT',
    says: /2000000 bytes/,
    damage: (storage, checkpoint) =>
      writeFile(pathIn(storage, checkpoint, MANIFEST), Buffer.alloc(2_000_000)),
  },
  {
    name: 'the identity of another task',
    code: 'CHECKPOINT_FOREIGN',
    says: /belongs to orders\/by-tenant\/4/,
    damage: (storage, { manifest, prefix }) =>
      storage.putBytes(
        `${prefix}${MANIFEST}`,
        encodeManifest({ ...manifest, identity: { ...TASK, partition: 4 } }),
      ),
  },
];

describe('restoreCheckpoint', () => {
  it('places the newest one', async () => {
    const storage = root.newStorage();
    await write(storage, 10n);
    const { manifest } = await write(storage, 20n);
    const dir = root.newDir();
    const seen: number[] = [];
    const restored = await restoreCheckpoint(storage, TASK, dir, {
      onProgress: ({ bytes, totalBytes }) => {
        seen.push(bytes);
        expect(totalBytes).toBe(manifest.bytes);
      },
    });
    expect(restored).toEqual(manifest);
    expect(restored).toMatchObject({ changelogOffset: 20n, epoch: 20, identity: TASK });
    expect(await filesIn(dir)).toEqual(contentsAt(20n));
    expect(seen.at(-1)).toBe(manifest.bytes);
  });

  it('finds nothing where there is nothing, and makes no state', async () => {
    const dir = root.newDir();
    expect(await restoreCheckpoint(root.newStorage(), TASK, dir)).toBeUndefined();
    await expect(readdir(dir)).rejects.toThrow(/ENOENT/);
  });

  it.each(DAMAGES)('passes over $name, and takes the next older one', async (kase) => {
    const storage = root.newStorage();
    await write(storage, 10n);
    const newest = await write(storage, 20n);
    await kase.damage(storage, newest);
    const dir = root.newDir();
    const skipped: SkippedCheckpoint[] = [];
    const onSkipped = (one: SkippedCheckpoint) => void skipped.push(one);
    const restored = await restoreCheckpoint(storage, TASK, dir, { onSkipped });
    expect(restored?.changelogOffset).toBe(10n);
    expect(await filesIn(dir)).toEqual(contentsAt(10n));
    expect(skipped.map(({ entry }) => entry.id)).toEqual([newest.id]);
    expect(skipped[0]?.reason.code).toBe(kase.code);
    expect(skipped[0]?.reason.message).toMatch(kase.says);
  });

  it('leaves nothing in the directory when all of them are broken', async () => {
    const storage = root.newStorage();
    await flipByte(pathIn(storage, await write(storage, 10n), 'data.mdb'));
    const dir = root.newDir();
    expect(await restoreCheckpoint(storage, TASK, dir)).toBeUndefined();
    expect(await readdir(dir)).toEqual([]);
  });

  it('takes none that the changelog does not continue, nor of another backend', async () => {
    const storage = root.newStorage();
    for (const offset of [10n, 20n, 30n]) await write(storage, offset);
    const at = async (options: Parameters<typeof restoreCheckpoint>[3]) =>
      (await restoreCheckpoint(storage, TASK, root.newDir(), options))?.changelogOffset;
    expect(await at({ minOffset: 30n })).toBe(30n);
    expect(await at({ minOffset: 31n })).toBeUndefined();
    expect(await at({ maxOffset: 29n })).toBe(20n);
    expect(await at({ minOffset: 15n, maxOffset: 25n })).toBe(20n);
    expect(await at({ backend: 'memory' })).toBeUndefined();
    expect(await at({ backend: 'lmdb' })).toBe(30n);
  });

  it('takes the one that was asked for', async () => {
    const storage = root.newStorage();
    const { id } = await write(storage, 10n);
    await write(storage, 20n);
    const restored = await restoreCheckpoint(storage, TASK, root.newDir(), { id });
    expect(restored?.changelogOffset).toBe(10n);
  });

  it('does not write over a state, and leaves it as it is', async () => {
    const storage = root.newStorage();
    await write(storage, 10n);
    const dir = root.newDir();
    await mkdir(dir);
    await writeFile(join(dir, 'data.mdb'), 'mine');
    await expect(restoreCheckpoint(storage, TASK, dir)).rejects.toMatchObject({
      code: 'CHECKPOINT_TARGET',
      retry: 'none',
    });
    expect((await filesIn(dir))['data.mdb']).toBe('mine');
  });

  it('makes room only when it has something sound to place', async () => {
    const storage = root.newStorage();
    const checkpoint = await write(storage, 10n);
    const dir = root.newDir();
    await mkdir(dir);
    await writeFile(join(dir, 'data.mdb'), 'mine');
    const makeRoom = () => rm(join(dir, 'data.mdb'));
    await flipByte(pathIn(storage, checkpoint, 'data.mdb'));
    expect(await restoreCheckpoint(storage, TASK, dir, { makeRoom })).toBeUndefined();
    expect(await filesIn(dir)).toEqual({ 'data.mdb': 'mine' });
    await write(storage, 20n);
    await restoreCheckpoint(storage, TASK, dir, { makeRoom });
    expect(await filesIn(dir)).toEqual(contentsAt(20n));
  });

  it('removes what a restore that was killed left', async () => {
    const storage = root.newStorage();
    await write(storage, 10n);
    const dir = root.newDir();
    await mkdir(join(dir, '.restore-01234567'), { recursive: true });
    await writeFile(join(dir, '.restore-01234567', 'data.mdb'), 'half');
    await restoreCheckpoint(storage, TASK, dir);
    expect(await filesIn(dir)).toEqual(contentsAt(10n));
  });

  it('ends when asked, and leaves nothing', async () => {
    const storage = root.newStorage();
    await write(storage, 10n);
    const dir = root.newDir();
    const ended = new AbortController();
    const options = { signal: ended.signal, onProgress: () => ended.abort() };
    await expect(restoreCheckpoint(storage, TASK, dir, options)).rejects.toMatchObject({
      code: 'CHECKPOINT_ABORTED',
    });
    expect(await readdir(dir)).toEqual([]);
  });
});

describe('verifyCheckpoint', () => {
  it('finds what a listing cannot see', async () => {
    const storage = root.newStorage();
    const written = await write(storage, 10n);
    const [entry] = await checkpointsOf(storage, TASK);
    if (entry?.state !== 'complete') throw new Error('not complete');
    await verifyCheckpoint(storage, entry);
    await flipByte(pathIn(storage, written, 'data.mdb'));
    await expect(verifyCheckpoint(storage, entry)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      message: expect.stringMatching(/data\.mdb .*SHA-256/),
    });
  });
});

describe('checkpointsOf', () => {
  it.each(DAMAGES.filter(({ name }) => name !== 'a flipped byte'))(
    'sees $name without reading the files',
    async ({ damage, says }) => {
      const storage = root.newStorage();
      await damage(storage, await write(storage, 10n));
      const [entry] = await checkpointsOf(storage, TASK);
      expect(entry?.state).not.toBe('complete');
      expect(entry && problemOf(entry)).toMatch(says);
    },
  );

  it('does not mix tasks up', async () => {
    const storage = root.newStorage();
    await write(storage, 10n, { ...TASK, partition: 33 });
    await write(storage, 10n, { ...TASK, namespace: '' });
    expect(await checkpointsOf(storage, TASK)).toEqual([]);
  });
});

describe('writeCheckpoint', () => {
  it('leaves nothing when the snapshot fails', async () => {
    const storage = root.newStorage();
    const failing = writeCheckpoint({
      storage,
      identity: TASK,
      backend: 'lmdb',
      snapshot: async (dir) => {
        await snapshotOf(1n, contentsAt(1n))(dir);
        throw new Error('disk');
      },
      stagingDir: root.newDir(),
      versions: {},
    });
    await expect(failing).rejects.toThrow('disk');
    expect(await storage.list('')).toEqual([]);
    expect(await readdir(storage.stagingDir)).toEqual([]);
  });

  it('gives a snapshot up that hangs, and cleans up when it ends', async () => {
    const storage = root.newStorage();
    const hang = Promise.withResolvers<void>();
    const ended = new AbortController();
    const writing = writeCheckpoint({
      storage,
      identity: TASK,
      backend: 'lmdb',
      snapshot: async (dir) => {
        const taken = await snapshotOf(1n, contentsAt(1n))(dir);
        setImmediate(() => ended.abort());
        await hang.promise;
        return taken;
      },
      stagingDir: root.newDir(),
      versions: {},
      signal: ended.signal,
    });
    await expect(writing).rejects.toMatchObject({ code: 'CHECKPOINT_ABORTED' });
    expect((await readdir(storage.stagingDir)).length).toBe(1);
    hang.resolve();
    await expect.poll(() => readdir(storage.stagingDir)).toEqual([]);
    expect(await storage.list('')).toEqual([]);
  });

  it('writes a manifest that anyone can read', async () => {
    const storage = root.newStorage();
    const { prefix, id, manifest } = await write(storage, 10n);
    const bytes = await storage.getBytes(`${prefix}${MANIFEST}`, 100_000);
    if (bytes === undefined) throw new Error('no manifest');
    const place = { identity: TASK, id, changelogOffset: 10n };
    expect(decodeManifest(bytes, place)).toEqual(manifest);
    expect(prefix).toMatch(/^test\/orders\/by-tenant\/3\/0{18}10-[0-9a-f]{8}\/$/);
  });
});
