import {
  closeSync,
  fstatSync,
  futimesSync,
  openSync,
  readdirSync,
  readSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { readHeader } from '../../../runtime/state/lmdb-file.ts';
import type { Random } from './random.ts';

/** What a state's two header pages take. */
const HEADER_BYTES = 8_192;
const FLIPS = 200;

/** Every LMDB file below a state directory. */
export function stateFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('data.mdb') && !name.includes('set-aside'))
    .map((name) => join(root, name));
}

/** Bytes that hold something: after a kill, the file is as large as its map, with nothing in most of it. */
function usedBytes(path: string): number {
  const { lastPage, pageSize } = readHeader(path);
  return (lastPage + 1) * pageSize;
}

/** Ends the file in its middle, as after a disk that lost writes. */
export function truncate(path: string): void {
  truncateSync(path, Math.floor(usedBytes(path) / 2));
}

/** Inverts bytes behind the header. @param silently leaves the time of change as it was: rot that no write is behind. */
export function flipBytes(path: string, random: Random, { silently }: { silently: boolean }): void {
  const used = usedBytes(path);
  const file = openSync(path, 'r+');
  try {
    const { atimeMs, mtimeMs } = fstatSync(file);
    const byte = Buffer.alloc(1);
    for (let flip = 0; flip < FLIPS; flip += 1) {
      const at = random.int(HEADER_BYTES, used - 1);
      readSync(file, byte, 0, 1, at);
      byte[0] = (byte[0] ?? 0) ^ 0xff;
      writeSync(file, byte, 0, 1, at);
    }
    if (silently) futimesSync(file, atimeMs / 1_000, mtimeMs / 1_000);
  } finally {
    closeSync(file);
  }
}
