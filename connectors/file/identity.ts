import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { unreadable } from './byte-source.ts';
import type { ImportMap } from './map.ts';

/** A file as it was when it was looked at. */
export interface FileStamp {
  /** SHA-256 of its content, hex. */
  readonly sha256: string;
  readonly bytes: number;
  /** ms since the epoch, of its last change. */
  readonly modifiedMs: number;
}

const READ_BYTES = 1_048_576;
/** 96 bits: no two imports of a lifetime share them. */
const ID_DIGITS = 24;

/** Reads the file once, whole, in bounded memory. @throws ReachflowError `FILE_UNREADABLE`. */
export async function stampOf(path: string): Promise<FileStamp> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, bytes);
      if (bytesRead === 0) break;
      hash.update(bytesRead === READ_BYTES ? buffer : buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    const { mtimeMs } = await handle.stat();
    return { sha256: hash.digest('hex'), bytes, modifiedMs: mtimeMs };
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await handle.close();
  }
}

/** Whether the file is still what it was, by size and time of its last change. */
export async function isUnchanged(path: string, stamp: FileStamp): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const { size, mtimeMs } = await handle.stat();
    return size === stamp.bytes && mtimeMs === stamp.modifiedMs;
  } finally {
    await handle.close();
  }
}

/**
 * The same content by the same map is the same import, whatever the file is called and wherever it lies.
 * @param attempt from 1: the same once more, on purpose, is another.
 */
export function importIdOf(stamp: FileStamp, map: ImportMap, attempt: number): string {
  const id = createHash('sha256')
    .update(stamp.sha256)
    .update(JSON.stringify(map))
    .digest('hex')
    .slice(0, ID_DIGITS);
  return attempt === 1 ? id : `${id}-${attempt}`;
}
