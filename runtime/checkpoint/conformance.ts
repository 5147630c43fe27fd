import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import type { CheckpointStorage } from './storage.ts';

/** One storage, empty and of its own. */
export interface StorageHarness {
  readonly storage: CheckpointStorage;
  /** Leaves what a `put` of `<prefix>…` leaves whose process is killed in its middle. */
  interruptPut(prefix: string): Promise<void>;
  /** Whether anything is left of such puts below `prefix`. */
  hasRemains(prefix: string): Promise<boolean>;
  destroy(): Promise<void>;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * What every storage must do, run by each implementation's tests on the real thing.
 * @param sizes of files that take another way through it each: empty, small, just one part, several parts.
 */
export function describeStorageConformance(
  name: string,
  make: () => Promise<StorageHarness>,
  sizes: readonly number[],
): void {
  describe(`storage contract: ${name}`, () => {
    let harness: StorageHarness;
    let storage: CheckpointStorage;
    let dir: string;
    let tests = 0;
    let prefix: string;

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'reachflow-storage-'));
      harness = await make();
      storage = harness.storage;
    });
    beforeEach(() => {
      tests += 1;
      prefix = `test-${tests}/`;
    });
    afterAll(async () => {
      await rm(dir, { recursive: true, force: true });
      await harness.destroy();
    });

    const localFile = async (bytes: Buffer) => {
      const path = join(dir, randomBytes(6).toString('hex'));
      await writeFile(path, bytes);
      return path;
    };

    it.each(sizes)('stores a file of %i bytes, and gives it back', async (size) => {
      const bytes = randomBytes(size);
      const digest = { bytes: size, sha256: sha256(bytes) };
      let moved = 0;
      const onBytes = (count: number): void => {
        moved += count;
      };
      const options = { onBytes };
      const key = `${prefix}data.mdb`;
      expect(await storage.putFile(key, await localFile(bytes), options)).toEqual(digest);
      expect(moved).toBe(size);
      moved = 0;
      const path = join(dir, `back-${tests}`);
      expect(await storage.getFile(key, path, options)).toEqual(digest);
      expect(moved).toBe(size);
      expect((await readFile(path)).equals(bytes)).toBe(true);
      expect(await storage.digest(key)).toEqual(digest);
    });

    it('does not write over a local file', async () => {
      await storage.putBytes(`${prefix}a`, Buffer.from('new'));
      const path = await localFile(Buffer.from('mine'));
      await expect(storage.getFile(`${prefix}a`, path)).rejects.toBeInstanceOf(ReachflowError);
      expect(await readFile(path, 'utf8')).toBe('mine');
    });

    it('says of what is not there that it is not there', async () => {
      expect(await storage.getFile(`${prefix}x`, join(dir, 'x'))).toBeUndefined();
      expect(await storage.getBytes(`${prefix}x`, 10)).toBeUndefined();
      expect(await storage.digest(`${prefix}x`)).toBeUndefined();
      expect(await storage.list(prefix)).toEqual([]);
      await storage.remove(`${prefix}x`);
      await storage.removePrefix(prefix);
      await storage.removeUnfinished(prefix, Date.now());
    });

    it('replaces bytes', async () => {
      const key = `${prefix}manifest.json`;
      await storage.putBytes(key, Buffer.from('one'));
      await storage.putBytes(key, Buffer.from('two'));
      expect((await storage.getBytes(key, 3))?.toString()).toBe('two');
      await expect(storage.getBytes(key, 2)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    });

    it('lists whole objects below a prefix in order, with size and time', async () => {
      const keys = ['a/b/2', 'a/b/1', 'a/b-c/1', 'ab/1'].map((key) => `${prefix}${key}`);
      for (const key of keys) await storage.putBytes(key, Buffer.from(key));
      const listed = await storage.list(`${prefix}a/`);
      expect(listed.map(({ key }) => key)).toEqual(
        ['a/b-c/1', 'a/b/1', 'a/b/2'].map((key) => `${prefix}${key}`),
      );
      for (const { key, bytes, modifiedMs } of listed) {
        expect(bytes).toBe(key.length);
        expect(Math.abs(modifiedMs - Date.now())).toBeLessThan(60_000);
      }
      expect(await storage.directories(prefix)).toEqual(['a', 'ab']);
      expect(await storage.directories(`${prefix}a/`)).toEqual(['b', 'b-c']);
      expect(await storage.directories(`${prefix}none/`)).toEqual([]);
      const all = (await storage.list('')).map(({ key }) => key);
      expect(keys.every((key) => all.includes(key))).toBe(true);
    });

    it('lists more than one page', async () => {
      const keys = Array.from(
        { length: 1_005 },
        (_, n) => `${prefix}${String(n).padStart(5, '0')}`,
      );
      for (let at = 0; at < keys.length; at += 50) {
        const some = keys.slice(at, at + 50);
        await Promise.all(some.map((key) => storage.putBytes(key, Buffer.alloc(1))));
      }
      expect((await storage.list(prefix)).map(({ key }) => key)).toEqual(keys);
      await storage.removePrefix(prefix);
      expect(await storage.list(prefix)).toEqual([]);
    }, 60_000);

    it('removes one object, or a prefix and no more', async () => {
      for (const key of ['a/1', 'a/2', 'ab/1']) {
        await storage.putBytes(`${prefix}${key}`, Buffer.from('x'));
      }
      await storage.remove(`${prefix}a/1`);
      expect((await storage.list(prefix)).length).toBe(2);
      await storage.removePrefix(`${prefix}a/`);
      expect((await storage.list(prefix)).map(({ key }) => key)).toEqual([`${prefix}ab/1`]);
    });

    it('lists no put that was cut off, and removes what is left of it once it is old', async () => {
      await storage.putBytes(`${prefix}a/whole`, Buffer.from('x'));
      await harness.interruptPut(`${prefix}a/`);
      expect(await harness.hasRemains(prefix)).toBe(true);
      expect((await storage.list(prefix)).map(({ key }) => key)).toEqual([`${prefix}a/whole`]);
      await storage.removeUnfinished(prefix, Date.now() - 60_000);
      expect(await harness.hasRemains(prefix)).toBe(true);
      await storage.removeUnfinished(prefix, Date.now() + 60_000);
      expect(await harness.hasRemains(prefix)).toBe(false);
      expect((await storage.list(prefix)).length).toBe(1);
    });

    it('ends a transfer when asked', async () => {
      const size = Math.max(...sizes);
      const key = `${prefix}data.mdb`;
      const path = await localFile(randomBytes(size));
      const aborted = AbortSignal.abort();
      const expected = { code: 'CHECKPOINT_ABORTED' };
      await expect(storage.putFile(key, path, { signal: aborted })).rejects.toMatchObject(expected);
      expect(await storage.list(prefix)).toEqual([]);
      await storage.putFile(key, await localFile(randomBytes(size)));
      const during = new AbortController();
      const options = { signal: during.signal, onBytes: () => during.abort() };
      await expect(storage.digest(key, options)).rejects.toMatchObject(expected);
    });

    it('refuses keys that would lead elsewhere', async () => {
      for (const key of ['../x', 'a/../x', '/x', 'a//b', '', 'a/', '.staging/x', 'a b']) {
        await expect(async () => storage.putBytes(key, Buffer.alloc(1))).rejects.toThrow(/no key/);
      }
    });
  });
}
