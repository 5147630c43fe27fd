import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, errorMessage } from '../errors.ts';
import type { BackendKind, StateBackend, StateIdentity, StoreDescriptor } from './backend.ts';
import { lockDirectory } from './directory-lock.ts';
import { diskFull, isNoRoom } from './disk-full.ts';
import { DATA_FILE, LmdbBackend } from './lmdb-backend.ts';
import { isIntactAsStored } from './lmdb-entry.ts';
import { DamagedFile, readHeader, verifyFile } from './lmdb-file.ts';
import { MemoryBackend } from './memory-backend.ts';
import { DamagedSnapshot, SNAPSHOT_FILE } from './memory-snapshot.ts';
import { verifyRun } from './run-files.ts';
import { isRunName } from './run-name.ts';
import { leftAs, markClosed, markOpened } from './session-marker.ts';

export interface OpenBackendOptions {
  readonly kind: BackendKind;
  /** The task's own directory, made if it is not there; `stateDirectory` names it. */
  readonly dir: string;
  readonly identity: StateIdentity;
  /** `storesOf` the task's specs. */
  readonly stores: readonly StoreDescriptor[];
  /** Largest state, bytes; LMDB takes so much address space. Default 16 GiB. */
  readonly maxBytes?: number;
  /** Entries of a segment of a store that expires, with LMDB; default 131,072. Small ones let tests have many. */
  readonly segmentEntries?: number;
  /** Told when files were not usable and set aside: the state is empty then, to be restored. */
  readonly onSetAside?: (event: SetAside) => void;
}

/** Files of a state that could not be used. */
export interface SetAside {
  readonly dir: string;
  /** Where they are now; only the newest are kept. */
  readonly movedTo: string;
  readonly reason: string;
}

/** Smaller trees cost less a write and less memory, more runs more a look. 16 bits of a run's filter for each. */
const SEGMENT_ENTRIES = 131_072;
const SET_ASIDE = 'set-aside';
const MAX_BYTES = 16 * 1024 ** 3;
/** Files that belong to a state, as far as they are there. */
const STATE_FILE = /^(data\.mdb|lock\.mdb|state\.segments|session\.json.*)$/;

function isStateFile(name: string): boolean {
  return STATE_FILE.test(name) || isRunName(name);
}

/** `<state dir>/<namespace>/<pipeline>/<subtopology>/<partition>`. */
export function stateDirectory(root: string, identity: StateIdentity): string {
  const { namespace, pipeline, subTopology, partition } = identity;
  return join(root, namespace, pipeline, subTopology, String(partition));
}

/** Whether a directory holds a state, whatever it is worth. */
export function hasState(dir: string): boolean {
  return existsSync(dir) && readdirSync(dir).some(isStateFile);
}

/**
 * Opens a task's state, empty when there is none, and locks its directory until it is closed. Files that are damaged,
 * that another task wrote, or that a machine's stop may have torn, are set aside.
 * @throws ReachflowError `STATE_LOCKED` or `STATE_DISK_FULL` (retry: backoff), or what the file system throws.
 */
export async function openBackend(options: OpenBackendOptions): Promise<StateBackend> {
  try {
    mkdirSync(options.dir, { recursive: true });
    const lock = await lockDirectory(options.dir);
    try {
      if (options.kind === 'memory') return openMemory(options, () => lock.release());
      return await openLmdb(options, () => lock.release());
    } catch (error) {
      await lock.release();
      throw error;
    }
  } catch (error) {
    throw isNoRoom(error) ? diskFull(`${options.dir}: ${errorMessage(error)}`, error) : error;
  }
}

function openMemory(options: OpenBackendOptions, onClose: () => Promise<void>): MemoryBackend {
  const { dir, identity, stores } = options;
  const path = join(dir, SNAPSHOT_FILE);
  const backend = new MemoryBackend({ identity, stores, onClose });
  if (!existsSync(path)) return backend;
  try {
    backend.load(path);
  } catch (error) {
    if (!(error instanceof DamagedSnapshot)) throw error;
    backend.clear();
    setAside(options, error.message);
  }
  return backend;
}

async function openLmdb(
  options: OpenBackendOptions,
  release: () => Promise<void>,
): Promise<LmdbBackend> {
  const { dir, identity, stores, maxBytes = MAX_BYTES } = options;
  const { segmentEntries = SEGMENT_ENTRIES } = options;
  const damage = existsSync(join(dir, DATA_FILE)) ? await damageOf(dir) : undefined;
  if (damage !== undefined) setAside(options, damage);
  const open = () => {
    markOpened(dir);
    return new LmdbBackend({ dir, identity, stores, maxBytes, segmentEntries, onClose: closed });
  };
  const closed = async (synced: boolean) => {
    try {
      if (synced) markClosed(dir, DATA_FILE);
    } finally {
      await release();
    }
  };
  try {
    return open();
  } catch (error) {
    // A full disk says nothing of the files.
    if (isNoRoom(error)) throw error;
    setAside(options, errorMessage(error));
    return open();
  }
}

/** Why the files of an LMDB state cannot be used; undefined when they can. */
async function damageOf(dir: string): Promise<string | undefined> {
  const path = join(dir, DATA_FILE);
  const left = leftAs(dir, DATA_FILE);
  if (left === 'lost') return 'it was not closed before the machine stopped';
  try {
    if (left === 'clean') {
      readHeader(path);
    } else {
      await verifyFile(path, isIntactAsStored);
      for (const name of readdirSync(dir).filter(isRunName)) await verifyRun(dir, name);
    }
    return undefined;
  } catch (error) {
    if (error instanceof DamagedFile || error instanceof RangeError) return error.message;
    throw error;
  }
}

/** Moves a state's files away, and removes those that were moved before: the disk must not fill with them. */
function setAside({ dir, onSetAside }: OpenBackendOptions, reason: string): void {
  const movedTo = join(dir, SET_ASIDE);
  rmSync(movedTo, { recursive: true, force: true });
  mkdirSync(movedTo, { recursive: true });
  for (const name of readdirSync(dir)) {
    if (isStateFile(name)) renameSync(join(dir, name), join(movedTo, name));
  }
  onSetAside?.({ dir, movedTo, reason });
}

/**
 * Removes a task's state from a directory that nobody has open, so that a checkpoint's files can be placed there.
 * @throws ReachflowError `STATE_LOCKED` (retry: backoff).
 */
export async function removeState(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  const lock = await lockDirectory(dir);
  try {
    for (const name of readdirSync(dir)) if (isStateFile(name)) rmSync(join(dir, name));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  } finally {
    await lock.release();
  }
}
