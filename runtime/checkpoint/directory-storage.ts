import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, opendir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errorCode, errorMessage, ReachflowError } from '../errors.ts';
import { digestOf, isNotFound, syncDirectory, syncParent, withFile } from './file-transfer.ts';
import { MANIFEST } from './layout.ts';
import {
  type CheckpointStorage,
  checkKey,
  checkPrefix,
  type FileDigest,
  MAX_LISTED,
  type StoredObject,
  type TransferOptions,
  throwIfAborted,
  tooMany,
} from './storage.ts';

const STAGING = '.staging';
/** What ends like this is being written; it becomes an object by a rename. */
const UNFINISHED = '.tmp';

/** Codes with which a file system says that settings or rights are wrong, not that it is busy or full. */
const PERMANENT = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR', 'ELOOP']);

/** Checkpoints as files below a directory, of this machine or mounted: one file an object. */
export class DirectoryStorage implements CheckpointStorage {
  readonly location: string;
  readonly stagingDir: string;
  readonly #root: string;

  /** @param root is made when something is put. */
  constructor(root: string) {
    this.#root = resolve(root);
    this.location = this.#root;
    this.stagingDir = join(this.#root, STAGING);
  }

  #pathOf(key: string): string {
    checkKey(key);
    return join(this.#root, key);
  }

  #dirOf(prefix: string): string {
    checkPrefix(prefix);
    return join(this.#root, prefix);
  }

  putFile(key: string, path: string, options: TransferOptions = {}): Promise<FileDigest> {
    return this.#guard(`write ${key}`, async () => {
      const target = this.#pathOf(key);
      await this.#makeDirectory(dirname(target));
      const source = await this.#take(path, target);
      try {
        const digest = await withFile(source, 'r+', async (file) => {
          const read = await digestOf(file, options);
          await file.sync();
          return read;
        });
        await rename(source, target);
        await syncParent(target);
        return digest;
      } catch (error) {
        await rm(source, { force: true });
        throw error;
      }
    });
  }

  /** The file under a name beside its target: moved there, or copied when it is on another file system. */
  async #take(path: string, target: string): Promise<string> {
    const beside = `${target}.${randomBytes(4).toString('hex')}${UNFINISHED}`;
    try {
      await rename(path, beside);
    } catch (error) {
      if (errorCode(error) !== 'EXDEV') throw error;
      await copyFile(path, beside, constants.COPYFILE_FICLONE);
    }
    return beside;
  }

  putBytes(key: string, bytes: Buffer): Promise<void> {
    return this.#guard(`write ${key}`, async () => {
      const target = this.#pathOf(key);
      const beside = `${target}.${randomBytes(4).toString('hex')}${UNFINISHED}`;
      const write = () =>
        withFile(beside, 'wx', async (file) => {
          await file.writeFile(bytes);
          await file.sync();
        });
      await write().catch(async (error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw error;
        await this.#makeDirectory(dirname(target));
        await write();
      });
      await rename(beside, target);
      await syncParent(target);
    });
  }

  /** Directories are made durable, too: a checkpoint is not to be lost with the entry that leads to it. */
  async #makeDirectory(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true });
    if (first === undefined) return;
    const above = dirname(first);
    for (let at = dirname(path); at.length >= above.length; at = dirname(at)) {
      await syncDirectory(at);
      if (at === above) return;
    }
  }

  getFile(
    key: string,
    path: string,
    options: TransferOptions = {},
  ): Promise<FileDigest | undefined> {
    return this.#guard(`read ${key}`, () =>
      orUndefined(async () => {
        const source = this.#pathOf(key);
        await stat(source);
        throwIfAborted(options.signal);
        // The kernel copies, or shares the blocks; what is hashed is what was written.
        await copyFile(source, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
        return withFile(path, 'r+', async (file) => {
          const digest = await digestOf(file, options);
          await file.sync();
          return digest;
        });
      }),
    );
  }

  getBytes(key: string, maxBytes: number): Promise<Buffer | undefined> {
    return this.#guard(`read ${key}`, () =>
      orUndefined(() =>
        withFile(this.#pathOf(key), 'r', async (file) => {
          const { size } = await file.stat();
          if (size > maxBytes) throw tooLarge(key, size, maxBytes);
          return file.readFile();
        }),
      ),
    );
  }

  digest(key: string, options: TransferOptions = {}): Promise<FileDigest | undefined> {
    return this.#guard(`read ${key}`, () =>
      orUndefined(() => withFile(this.#pathOf(key), 'r', (file) => digestOf(file, options))),
    );
  }

  list(prefix: string): Promise<StoredObject[]> {
    return this.#guard(`list ${prefix}`, async () => {
      const objects = (await this.#filesBelow(prefix)).filter(
        ({ key }) => !key.endsWith(UNFINISHED),
      );
      return objects.sort((a, b) => (a.key < b.key ? -1 : 1));
    });
  }

  async #filesBelow(prefix: string): Promise<StoredObject[]> {
    const found: StoredObject[] = [];
    const pending = [prefix === '' ? '' : prefix.slice(0, -1)];
    if (prefix !== '') checkPrefix(prefix);
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      for (const { name, isDirectory } of await entriesOf(join(this.#root, next))) {
        const key = next === '' ? name : `${next}/${name}`;
        if (name.startsWith('.')) continue;
        if (isDirectory) {
          pending.push(key);
          continue;
        }
        const file = await orUndefined(() => stat(join(this.#root, key)));
        if (file === undefined) continue;
        found.push({ key, bytes: file.size, modifiedMs: file.mtimeMs });
        if (found.length > MAX_LISTED) throw tooMany(this.location);
      }
    }
    return found;
  }

  directories(prefix: string): Promise<string[]> {
    return this.#guard(`list ${prefix}`, async () => {
      const entries = await entriesOf(prefix === '' ? this.#root : this.#dirOf(prefix));
      const names = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
      return names.filter((name) => !name.startsWith('.')).sort();
    });
  }

  remove(key: string): Promise<void> {
    return this.#guard(`remove ${key}`, async () => {
      const path = this.#pathOf(key);
      await rm(path, { force: true });
      // The order of removals is what keeps a checkpoint from looking whole: it has to survive a power failure.
      if (key.endsWith(`/${MANIFEST}`)) await orUndefined(() => syncParent(path));
    });
  }

  removePrefix(prefix: string): Promise<void> {
    return this.#guard(`remove ${prefix}`, () =>
      rm(this.#dirOf(prefix), { recursive: true, force: true, maxRetries: 3 }),
    );
  }

  removeUnfinished(prefix: string, beforeMs: number): Promise<void> {
    return this.#guard(`clean ${prefix}`, async () => {
      for (const { key, modifiedMs } of await this.#filesBelow(prefix)) {
        if (!key.endsWith(UNFINISHED) || modifiedMs >= beforeMs) continue;
        await rm(join(this.#root, key), { force: true });
      }
      // A directory whose put never got to a file; one that is not empty stays.
      const dir = this.#dirOf(prefix);
      for (const { name, isDirectory } of await entriesOf(dir)) {
        const path = join(dir, name);
        const made = isDirectory ? await orUndefined(() => stat(path)) : undefined;
        if (made !== undefined && made.mtimeMs < beforeMs) await rmdir(path).catch(() => undefined);
      }
    });
  }

  close(): void {
    // Nothing is held between calls.
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ReachflowError || errorCode(error) === undefined) throw error;
      const permanent = PERMANENT.has(errorCode(error) ?? '');
      throw new ReachflowError(
        `cannot ${what} in ${this.location}: ${errorMessage(error)}`,
        permanent
          ? {
              code: 'CHECKPOINT_STORAGE_INVALID',
              domain: 'user',
              hint: 'Give this user the right to read and write the directory of checkpoint.directory, or set another.',
              cause: error,
            }
          : {
              code: 'CHECKPOINT_STORAGE_UNAVAILABLE',
              domain: 'external',
              retry: 'backoff',
              cause: error,
            },
      );
    }
  }
}

function tooLarge(key: string, bytes: number, maxBytes: number): ReachflowError {
  return new ReachflowError(`${key} has ${bytes} bytes; at most ${maxBytes} were expected`, {
    code: 'CHECKPOINT_CORRUPT',
    domain: 'external',
  });
}

async function orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

async function entriesOf(dir: string): Promise<{ name: string; isDirectory: boolean }[]> {
  const entries = await orUndefined(async () => {
    const found: { name: string; isDirectory: boolean }[] = [];
    for await (const entry of await opendir(dir)) {
      found.push({ name: entry.name, isDirectory: entry.isDirectory() });
    }
    return found;
  });
  return entries ?? [];
}
