import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeStorageConformance } from './conformance.ts';
import { DirectoryStorage } from './directory-storage.ts';

describeStorageConformance('directory', async () => {
  const root = await mkdtemp(join(tmpdir(), 'reachflow-checkpoints-'));
  return {
    storage: new DirectoryStorage(root),
    async interruptPut(prefix) {
      await mkdir(join(root, prefix), { recursive: true });
      await writeFile(join(root, prefix, 'data.mdb.0123abcd.tmp'), 'half');
    },
    async hasRemains(prefix) {
      const names = await readdir(join(root, prefix), { recursive: true });
      return names.some((name) => name.endsWith('.tmp'));
    },
    destroy: () => rm(root, { recursive: true, force: true }),
  };
}, [0, 1, 262_144, 262_145, 3_000_000]);

describe('DirectoryStorage', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'reachflow-checkpoints-'));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it('moves files that are staged beside it, instead of copying them', async () => {
    const storage = new DirectoryStorage(join(root, 'moves'));
    await mkdir(storage.stagingDir, { recursive: true });
    const path = join(storage.stagingDir, 'data.mdb');
    await writeFile(path, 'bytes');
    const { ino } = await stat(path);
    await storage.putFile('a/data.mdb', path);
    expect((await stat(join(root, 'moves', 'a', 'data.mdb'))).ino).toBe(ino);
  });

  it('does not list what is staged', async () => {
    const storage = new DirectoryStorage(join(root, 'staging'));
    await mkdir(join(storage.stagingDir, 'one'), { recursive: true });
    await writeFile(join(storage.stagingDir, 'one', 'data.mdb'), 'x');
    expect(await storage.list('')).toEqual([]);
  });

  it('says whether it is the settings or the disk', async () => {
    await writeFile(join(root, 'file'), '');
    const storage = new DirectoryStorage(join(root, 'file', 'below'));
    await expect(storage.putBytes('a/b', Buffer.alloc(1))).rejects.toMatchObject({
      code: 'CHECKPOINT_STORAGE_INVALID',
      domain: 'user',
      retry: 'none',
    });
  });
});
