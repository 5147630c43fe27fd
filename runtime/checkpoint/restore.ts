import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import PQueue from 'p-queue';
import { errorCode, ReachflowError } from '../errors.ts';
import type { BackendKind, StateIdentity } from '../state/contract.ts';
import { markClosed } from '../state/session-marker.ts';
import {
  type CheckpointEntry,
  type CompleteCheckpoint,
  checkpointsOf,
  fileProblem,
} from './catalog.ts';
import { isNotFound, syncDirectory, syncParent } from './file-transfer.ts';
import { taskName } from './layout.ts';
import type { CheckpointManifest, ManifestFile } from './manifest.ts';
import type { CheckpointStorage, FileDigest, TransferOptions } from './storage.ts';

/** Bytes of one checkpoint that were read, of how many. */
export interface RestoreProgress {
  readonly id: string;
  readonly bytes: number;
  readonly totalBytes: number;
}

/** A checkpoint that was passed over, and why. */
export interface SkippedCheckpoint {
  readonly entry: CheckpointEntry;
  readonly reason: ReachflowError;
}

export interface RestoreOptions {
  /** The changelog's first offset: an older checkpoint has a gap behind it. */
  readonly minOffset?: bigint | undefined;
  /** The changelog's end: a checkpoint beyond it is of another topic. */
  readonly maxOffset?: bigint | undefined;
  /** Passes checkpoints of other backends over. */
  readonly backend?: BackendKind | undefined;
  /** This one, no other. */
  readonly id?: string | undefined;
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
  /** Told of each that is newer than the restored one; broken ones are worth a warning. */
  readonly onSkipped?: ((skipped: SkippedCheckpoint) => void) | undefined;
  /** Called when all is read and sound, and only has to be placed: removes the state that is there. */
  readonly makeRoom?: (() => Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const FILES_AT_ONCE = 4;

/**
 * Places the newest checkpoint that is sound into `targetDir`, made if it is not there, which holds no state and is not
 * in use. What is placed was hashed, and all of it is on the disk before the first file gets its name; the first of a
 * snapshot, without which there is no state, gets it last. A checkpoint that is broken, or vanishes meanwhile, is
 * passed over for the next older one.
 * @returns its manifest; the state is at `changelogOffset` or later, as its backend knows. Undefined when there is none.
 * @throws ReachflowError as the storage does, `CHECKPOINT_ABORTED`, or `CHECKPOINT_TARGET` when the directory holds a
 * state already (retry: none), or cannot be written (retry: backoff).
 */
export async function restoreCheckpoint(
  storage: CheckpointStorage,
  identity: StateIdentity,
  targetDir: string,
  options: RestoreOptions = {},
): Promise<CheckpointManifest | undefined> {
  await removeRemains(targetDir);
  for (const entry of await checkpointsOf(storage, identity)) {
    const reason = obstacle(entry, options);
    if (reason !== undefined) {
      options.onSkipped?.({ entry, reason });
      continue;
    }
    if (entry.state !== 'complete') continue;
    try {
      await place(storage, entry, resolve(targetDir), options);
      return entry.manifest;
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      options.onSkipped?.({ entry, reason: error });
    }
  }
  return undefined;
}

function isCorrupt(error: unknown): error is ReachflowError {
  return error instanceof ReachflowError && error.code === 'CHECKPOINT_CORRUPT';
}

/** Why an entry is not to be restored, if it is not. */
function obstacle(entry: CheckpointEntry, options: RestoreOptions): ReachflowError | undefined {
  const { minOffset, maxOffset, backend, id } = options;
  if (id !== undefined && entry.id !== id) return passedOver(entry, 'another one was asked for');
  if (entry.state === 'broken') return entry.problem;
  if (entry.state === 'incomplete') return passedOver(entry, 'it has no manifest');
  const { changelogOffset } = entry;
  if (minOffset !== undefined && changelogOffset < minOffset) {
    return passedOver(entry, `the changelog begins at ${minOffset}, after it`);
  }
  if (maxOffset !== undefined && changelogOffset > maxOffset) {
    return passedOver(entry, `the changelog ends at ${maxOffset}, before it`);
  }
  if (backend !== undefined && entry.manifest.backend !== backend) {
    return passedOver(entry, `it is of the backend ${entry.manifest.backend}`);
  }
  return undefined;
}

function passedOver(entry: CheckpointEntry, why: string): ReachflowError {
  return new ReachflowError(`checkpoint ${taskName(entry.identity)} ${entry.id}: ${why}`, {
    code: 'CHECKPOINT_UNUSABLE',
    domain: 'external',
  });
}

const BESIDE = '.restore-';

/** What restores that were killed left in a directory; nobody else restores there now. */
async function removeRemains(targetDir: string): Promise<void> {
  for (const name of await namesIn(targetDir)) {
    if (!name.startsWith(BESIDE)) continue;
    await rm(join(targetDir, name), { recursive: true, force: true });
  }
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (isNotFound(error)) return [];
    throw unwritable(dir, error);
  }
}

async function place(
  storage: CheckpointStorage,
  entry: CompleteCheckpoint,
  targetDir: string,
  options: RestoreOptions,
): Promise<void> {
  const beside = join(targetDir, `${BESIDE}${randomBytes(4).toString('hex')}`);
  try {
    await atTarget(targetDir, () => mkdir(beside, { recursive: true }));
    await readFiles(entry, options, ({ name }, transfer) =>
      storage.getFile(`${entry.prefix}${name}`, join(beside, name), transfer),
    );
    await options.makeRoom?.();
    await atTarget(targetDir, async () => {
      for (const { name } of entry.manifest.files.toReversed()) {
        await moveTo(join(beside, name), join(targetDir, name));
      }
      await syncDirectory(targetDir);
      await syncParent(targetDir);
      // What was hashed need not be walked through once more when it is opened.
      const [main] = entry.manifest.files;
      if (main !== undefined && entry.manifest.backend === 'lmdb') markClosed(targetDir, main.name);
    });
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

/** By a second name, as a rename would replace a state that somebody has begun there meanwhile. */
async function moveTo(path: string, target: string): Promise<void> {
  try {
    await link(path, target);
  } catch (error) {
    // Some file systems have no second names.
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(errorCode(error) ?? '')) throw error;
    await rename(path, target);
  }
}

async function atTarget(targetDir: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw errorCode(error) === 'EEXIST' ? occupied(targetDir, error) : unwritable(targetDir, error);
  }
}

function occupied(targetDir: string, cause: unknown): ReachflowError {
  return new ReachflowError(`${targetDir} holds a state: a checkpoint is not restored over it`, {
    code: 'CHECKPOINT_TARGET',
    domain: 'user',
    hint: 'Move it away first.',
    cause,
  });
}

function unwritable(targetDir: string, cause: unknown): ReachflowError {
  return new ReachflowError(`cannot restore into ${targetDir}`, {
    code: 'CHECKPOINT_TARGET',
    domain: 'external',
    retry: 'backoff',
    hint: 'See that it can be written to, and has room.',
    cause,
  });
}

/**
 * Reads all files of a checkpoint again and compares their hashes.
 * @throws ReachflowError `CHECKPOINT_CORRUPT` naming the file, or as the storage does.
 */
export async function verifyCheckpoint(
  storage: CheckpointStorage,
  entry: CompleteCheckpoint,
  options: Pick<RestoreOptions, 'onProgress' | 'signal'> = {},
): Promise<void> {
  await readFiles(entry, options, ({ name }, transfer) =>
    storage.digest(`${entry.prefix}${name}`, transfer),
  );
}

type ReadFile = (file: ManifestFile, transfer: TransferOptions) => Promise<FileDigest | undefined>;

/** Some files at a time; the first that is not as the manifest has it ends it, once none is being read any more. */
async function readFiles(
  { manifest, prefix, id }: CompleteCheckpoint,
  { onProgress, signal }: Pick<RestoreOptions, 'onProgress' | 'signal'>,
  read: ReadFile,
): Promise<void> {
  let bytes = 0;
  const onBytes = (moved: number): void => {
    bytes += moved;
    onProgress?.({ id, bytes, totalBytes: manifest.bytes });
  };
  const failed = new AbortController();
  const signals = signal === undefined ? [failed.signal] : [failed.signal, signal];
  const transfer = { onBytes, signal: AbortSignal.any(signals) };
  const queue = new PQueue({ concurrency: FILES_AT_ONCE });
  let first: unknown;
  for (const file of manifest.files) {
    void queue.add(async () => {
      try {
        if (first === undefined) checkDigest(prefix, file, await read(file, transfer));
      } catch (error) {
        first ??= error;
        failed.abort();
      }
    });
  }
  await queue.onIdle();
  if (first !== undefined) throw first;
}

function checkDigest(prefix: string, file: ManifestFile, found: FileDigest | undefined): void {
  const { name, bytes, sha256 } = file;
  if (found === undefined) throw fileProblem(prefix, name, 'is missing');
  if (found.bytes !== bytes) {
    throw fileProblem(prefix, name, `has ${found.bytes} bytes instead of ${bytes}`);
  }
  if (found.sha256 !== sha256) throw fileProblem(prefix, name, 'does not match its SHA-256');
}
