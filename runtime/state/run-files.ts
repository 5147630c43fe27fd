import { constants, readdirSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotFile } from './backend.ts';
import { DamagedFile } from './lmdb-file.ts';
import { Run } from './run.ts';
import { isRunName } from './run-name.ts';

/** The files of an environment's runs. */
export class RunFiles {
  readonly #dir: string;
  #copies = 0;
  /** Files that are of no more use, but that a copy may be reading. */
  readonly #retired = new Set<string>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Removes files that a killed process had begun, or not removed yet. */
  removeOthers(runs: readonly Run[]): void {
    const known = new Set(runs.map(({ name }) => name));
    for (const name of readdirSync(this.#dir))
      if (isRunName(name) && !known.has(name)) rmSync(join(this.#dir, name));
  }

  /** Closes a run that is in no list any more, and removes it, once it is not being copied. */
  remove(run: Run): void {
    run.close();
    this.#retired.add(run.name);
    this.#removeRetired();
  }

  #removeRetired(): void {
    if (this.#copies > 0) return;
    for (const name of this.#retired) rmSync(join(this.#dir, name), { force: true });
    this.#retired.clear();
  }

  /** Copies runs into another directory; what is removed meanwhile, too. @throws what the file system throws. */
  async copy(runs: readonly Run[], dir: string): Promise<SnapshotFile[]> {
    const files = runs.map(({ name, bytes }) => ({ name, bytes }));
    this.#copies += 1;
    try {
      // Not by a second name: a checkpoint must not be damaged by what damages the state.
      for (const { name } of files)
        await copyFile(join(this.#dir, name), join(dir, name), constants.COPYFILE_FICLONE);
      return files;
    } finally {
      this.#copies -= 1;
      this.#removeRetired();
    }
  }
}

/**
 * Reads a run whole. One without a proper end is passed over: a killed process was writing it, or opening the state
 * finds that it needs it. @throws DamagedFile, or what the file system throws.
 */
export async function verifyRun(dir: string, name: string): Promise<void> {
  const run = openSound(dir, name);
  try {
    await run?.verify();
  } finally {
    run?.close();
  }
}

function openSound(dir: string, name: string): Run | undefined {
  try {
    return Run.open(join(dir, name), name);
  } catch (error) {
    if (error instanceof DamagedFile) return undefined;
    throw error;
  }
}
