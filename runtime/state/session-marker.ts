import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** How the last process left a directory. */
interface Marker {
  /** Which start of the machine it ran under; empty where that is not known. */
  readonly boot: string;
  /** Set when it closed the file, with all of it on disk: the file's size and time of change. */
  readonly closed?: { readonly bytes: number; readonly changedMs: number };
}

/**
 * - `clean`: closed, and not touched since;
 * - `crashed`: the process ended without closing it, under this same kernel, whose page cache has all it wrote;
 * - `lost`: the machine may have stopped since: any page may be missing;
 * - `unknown`: files that no process has opened here, such as a checkpoint's.
 */
export type LeftAs = 'clean' | 'crashed' | 'lost' | 'unknown';

const MARKER = 'session.json';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** How `file` of a directory was left. */
export function leftAs(dir: string, file: string): LeftAs {
  const marker = readMarker(dir);
  if (marker === undefined) return 'unknown';
  if (marker.closed !== undefined) {
    const { size, mtimeMs } = statSync(join(dir, file));
    const same = size === marker.closed.bytes && mtimeMs === marker.closed.changedMs;
    return same ? 'clean' : 'unknown';
  }
  return marker.boot !== '' && marker.boot === bootId() ? 'crashed' : 'lost';
}

function readMarker(dir: string): Marker | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, MARKER), 'utf8')) as Marker;
  } catch {
    // Absent, or half written: its rename was not on disk yet when the machine stopped.
    return undefined;
  }
}

/** Notes that this process works on the directory. Call before the first write. */
export function markOpened(dir: string): void {
  writeMarker(dir, { boot: bootId() });
}

/** Notes that `file` was closed, and is on disk. */
export function markClosed(dir: string, file: string): void {
  const { size, mtimeMs } = statSync(join(dir, file));
  writeMarker(dir, { boot: bootId(), closed: { bytes: size, changedMs: mtimeMs } });
}

function writeMarker(dir: string, marker: Marker): void {
  const path = join(dir, MARKER);
  const file = openSync(`${path}.new`, 'w');
  try {
    writeSync(file, JSON.stringify(marker));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
  syncDirectory(dir);
}

function syncDirectory(dir: string): void {
  const handle = openSync(dir, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return '';
  }
}
