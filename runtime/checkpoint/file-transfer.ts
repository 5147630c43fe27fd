import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errorCode } from '../errors.ts';
import { type FileDigest, type TransferOptions, throwIfAborted } from './storage.ts';

/** Hashing holds up the event loop, and with it the tasks: about 0.2 ms at a time with pieces of this size. */
const PIECE_BYTES = 256 * 1024;

/** Size and hash of an open file, read from its beginning. @throws ReachflowError `CHECKPOINT_ABORTED`. */
export async function digestOf(
  file: FileHandle,
  { signal, onBytes }: TransferOptions = {},
): Promise<FileDigest> {
  const hash = createHash('sha256');
  // Two buffers: the next piece is read while one is hashed.
  let current: Buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let other: Buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let bytes = 0;
  let reading = file.read(current, 0, PIECE_BYTES, 0);
  for (;;) {
    const { bytesRead } = await reading;
    if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
    throwIfAborted(signal);
    bytes += bytesRead;
    reading = file.read(other, 0, PIECE_BYTES, bytes);
    hash.update(bytesRead === PIECE_BYTES ? current : current.subarray(0, bytesRead));
    onBytes?.(bytesRead);
    [current, other] = [other, current];
  }
}

/** Hashes a large buffer while others get their turn. */
export async function updateInPieces(hash: Hash, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (at > 0) await nextTurn();
    hash.update(bytes.subarray(at, at + PIECE_BYTES));
  }
}

/** Opens a file for as long as `work` takes. */
export async function withFile<T>(
  path: string,
  flags: string,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

/** Makes the names in a directory durable: without it, a power failure can undo a rename (fsync(2)). */
export async function syncDirectory(path: string): Promise<void> {
  await withFile(path, 'r', (directory) => directory.sync()).catch((error: unknown) => {
    // Some file systems, such as those of Windows, know no such thing.
    if (!['EINVAL', 'EPERM', 'EISDIR', 'EACCES'].includes(errorCode(error) ?? '')) throw error;
  });
}

/** Makes the name of a file durable. */
export function syncParent(path: string): Promise<void> {
  return syncDirectory(dirname(path));
}

/** Whether an error says that a file or directory is not there. */
export function isNotFound(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
