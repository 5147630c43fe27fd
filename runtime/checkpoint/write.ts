import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ReachflowError } from '../errors.ts';
import type { BackendKind, SnapshotFile, StateIdentity } from '../state/contract.ts';
import { checkpointPrefix, MANIFEST, newCheckpointId } from './layout.ts';
import { type CheckpointManifest, encodeManifest, type ManifestFile } from './manifest.ts';
import { abortedError, type CheckpointStorage, throwIfAborted } from './storage.ts';

/** A task's state at one moment between two epochs, as files, and what else was true then. */
export interface TaskSnapshot {
  /** Of the changelog: what the files contain, and nothing after it. */
  readonly nextOffset: bigint;
  readonly files: readonly SnapshotFile[];
  readonly epoch?: number | undefined;
  readonly inputOffsets?: Readonly<Record<string, bigint>> | undefined;
  /** ms. */
  readonly watermark?: number | undefined;
  readonly entries?: number | undefined;
}

export interface WriteOptions {
  readonly storage: CheckpointStorage;
  readonly identity: StateIdentity;
  readonly backend: BackendKind;
  /** Writes the task's state into a new directory. */
  readonly snapshot: (dir: string) => Promise<TaskSnapshot>;
  /** Where the snapshot is written when the storage does not say. */
  readonly stagingDir: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** A checkpoint that was written. */
export interface WrittenCheckpoint {
  readonly id: string;
  readonly prefix: string;
  readonly manifest: CheckpointManifest;
}

/**
 * Writes one checkpoint: the snapshot's files, then its manifest. Whatever ends it before that leaves no checkpoint.
 * @throws ReachflowError as the storage does, `CHECKPOINT_ABORTED`, or what the snapshot throws.
 */
export async function writeCheckpoint(options: WriteOptions): Promise<WrittenCheckpoint> {
  const { storage, snapshot, signal } = options;
  const createdAt = Date.now();
  const began = performance.now();
  const staging = join(
    storage.stagingDir ?? options.stagingDir,
    `${process.pid}-${randomBytes(6).toString('hex')}`,
  );
  await makeStaging(staging);
  let snapshotting: Promise<void> | undefined;
  try {
    throwIfAborted(signal);
    const taking = snapshot(staging);
    const ended = (): void => {
      snapshotting = undefined;
    };
    snapshotting = taking.then(ended, ended);
    const taken = await unlessAborted(taking, signal);
    return await upload(options, staging, taken, createdAt, began);
  } finally {
    const remove = () => rm(staging, { recursive: true, force: true });
    // A snapshot cannot be cut short: when it was given up, its directory goes when it has ended.
    if (snapshotting === undefined) await remove();
    else snapshotting.then(remove).catch(noop);
  }
}

function noop(): void {
  // What became of it was reported elsewhere.
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(abortedError(signal.reason));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Removes what snapshots left in a staging directory whose process was killed before `beforeMs`. */
export async function removeStaleStaging(stagingDir: string, beforeMs: number): Promise<void> {
  for (const name of await readdir(stagingDir).catch(() => [])) {
    const path = join(stagingDir, name);
    const made = await stat(path).catch(() => undefined);
    if (made !== undefined && made.mtimeMs < beforeMs) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

async function makeStaging(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
  } catch (error) {
    throw new ReachflowError(`cannot make the directory ${dir} for snapshots`, {
      code: 'CHECKPOINT_STORAGE_UNAVAILABLE',
      domain: 'external',
      retry: 'backoff',
      hint: 'Give this user the right to write there: see checkpoint.directory and state.dir.',
      cause: error,
    });
  }
}

async function upload(
  options: WriteOptions,
  staging: string,
  taken: TaskSnapshot,
  createdAt: number,
  began: number,
): Promise<WrittenCheckpoint> {
  const { storage, identity, backend, versions, signal } = options;
  const id = newCheckpointId(taken.nextOffset);
  const prefix = checkpointPrefix(identity, id);
  try {
    const files: ManifestFile[] = [];
    for (const { name, bytes } of taken.files) {
      const stored = await storage.putFile(`${prefix}${name}`, join(staging, name), { signal });
      if (stored.bytes !== bytes) {
        throw new Error(`${name} of a snapshot has ${stored.bytes} bytes, not ${bytes}`);
      }
      files.push({ name, ...stored });
    }
    const manifest: CheckpointManifest = {
      identity,
      backend,
      changelogOffset: taken.nextOffset,
      epoch: taken.epoch,
      inputOffsets: taken.inputOffsets,
      watermark: taken.watermark,
      entries: taken.entries,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      files,
      versions,
      createdAt,
      durationMs: Math.round(performance.now() - began),
    };
    throwIfAborted(signal);
    await storage.putBytes(`${prefix}${MANIFEST}`, encodeManifest(manifest));
    return { id, prefix, manifest };
  } catch (error) {
    // Else pruning does it, in an hour. The manifest may be there: an answer that is lost is no refusal.
    await removeCheckpoint(storage, prefix).catch(() => undefined);
    throw error;
  }
}

/** Removes a checkpoint, its manifest first: at no time is there a manifest without its files. @throws as the storage does. */
export async function removeCheckpoint(storage: CheckpointStorage, prefix: string): Promise<void> {
  await storage.remove(`${prefix}${MANIFEST}`);
  await storage.removePrefix(prefix);
}
