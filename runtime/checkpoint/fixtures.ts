import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StateIdentity } from '../state/contract.ts';
import { DirectoryStorage } from './directory-storage.ts';
import type { CheckpointStorage } from './storage.ts';
import { type TaskSnapshot, type WrittenCheckpoint, writeCheckpoint } from './write.ts';

/** The task whose checkpoints tests write. */
export const TASK: StateIdentity = {
  namespace: 'test',
  pipeline: 'orders',
  subTopology: 'by-tenant',
  partition: 3,
};

/** A directory for one test file, and storages in it. */
export async function testRoot() {
  const root = await mkdtemp(join(tmpdir(), 'reachflow-checkpoint-'));
  let count = 0;
  const newDir = (): string => {
    count += 1;
    return join(root, String(count));
  };
  return {
    newDir,
    newStorage: () => new DirectoryStorage(newDir()),
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

/** A snapshot of the given files. */
export function snapshotOf(nextOffset: bigint, contents: Readonly<Record<string, string>>) {
  return async (dir: string): Promise<TaskSnapshot> => {
    await mkdir(dir, { recursive: true });
    const files = [];
    for (const [name, content] of Object.entries(contents)) {
      await writeFile(join(dir, name), content);
      files.push({ name, bytes: Buffer.byteLength(content) });
    }
    return { nextOffset, files, epoch: Number(nextOffset) };
  };
}

/** What the tests' checkpoint at an offset holds. */
export function contentsAt(offset: bigint): Record<string, string> {
  return { 'data.mdb': `state at ${offset} `.repeat(40), 'index.mdb': `index at ${offset}` };
}

/** Writes a checkpoint of `contentsAt(offset)`. */
export function write(
  storage: CheckpointStorage,
  offset: bigint,
  identity: StateIdentity = TASK,
): Promise<WrittenCheckpoint> {
  return writeCheckpoint({
    storage,
    identity,
    backend: 'lmdb',
    snapshot: snapshotOf(offset, contentsAt(offset)),
    stagingDir: join(tmpdir(), 'reachflow-never-used'),
    versions: { reachflow: '0.1.0' },
  });
}

/** Name and content of each of a state's files in a directory. */
export async function filesIn(dir: string): Promise<Record<string, string>> {
  const names = (await readdir(dir)).filter((name) => name !== 'session.json').sort();
  const contents = await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')));
  return Object.fromEntries(names.map((name, index) => [name, contents[index] ?? '']));
}
