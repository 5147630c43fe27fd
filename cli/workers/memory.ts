import { readFileSync } from 'node:fs';
import { getHeapSpaceStatistics } from 'node:v8';
import { allocatorEnvironment, sizesHeap } from '../../runtime/process-memory.ts';

const MIB = 1_048_576;
/** Looks above the limit in a row before a worker is drained: one may fall into the moment before a collection. */
const LOOKS_OVER_LIMIT = 3;
/** An old space that stays this full is about to end the process: V8 aborts it when it is. */
const OLD_SPACE_FULL_SHARE = 0.95;
/** The share of a worker's memory for V8's old space; the rest is young space, buffers, native code and stores. */
const OLD_SPACE_SHARE = 0.5;
/** Less, MiB, and the process would abort before it has started; the limit on its memory still holds. */
const MIN_OLD_SPACE_MB = 96;
/**
 * Largest semi-space, MiB; the young space takes up to three of them. As large as an epoch's records: what dies with
 * its epoch is then hardly ever copied.
 */
const MAX_SEMI_SPACE_MB = 64;
/** V8's spaces for young objects: what they hold is no sign of a heap that is full. */
const YOUNG_SPACES: ReadonlySet<string> = new Set(['new_space', 'new_large_object_space']);

/** Flags of Node that keep a worker's heap within its memory. @param memoryMb MiB. */
export function heapFlags(memoryMb: number): string[] {
  const semiSpace = Math.min(MAX_SEMI_SPACE_MB, Math.max(1, Math.floor(memoryMb / 8)));
  return [`--max-old-space-size=${oldSpaceMb(memoryMb)}`, `--max-semi-space-size=${semiSpace}`];
}

/** By Node's own options. */
function hasSizedHeap(): boolean {
  const options = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(' ')];
  return options.some(sizesHeap);
}

/**
 * Gives this process, which works without a supervisor, the memory of a worker: V8 sizes it when it starts, so the process
 * begins again in its own place, by execve(2), with its pid, its streams and its arguments. Call it before anything is
 * open. Does not return then. A heap that somebody has sized is left as it is; as is that of a child with an IPC channel,
 * which would be lost, and on a platform without execve.
 * @returns whether the heap is that of a worker.
 */
export function sizeOwnHeap(memoryMb: number): boolean {
  return beginAgainWith(heapFlags(memoryMb));
}

/** As `sizeOwnHeap`, with flags of V8's heap. */
export function beginAgainWith(flags: readonly string[]): boolean {
  if (flags.every((flag) => process.execArgv.includes(flag))) return true;
  if (hasSizedHeap() || process.connected || process.execve === undefined) return false;
  const args = [...flags, ...process.execArgv, ...process.argv.slice(1)];
  const env = { ...process.env, ...allocatorEnvironment() };
  return process.execve(process.execPath, [process.execPath, ...args], env);
}

function oldSpaceMb(memoryMb: number): number {
  return Math.max(MIN_OLD_SPACE_MB, Math.floor(memoryMb * OLD_SPACE_SHARE));
}

/** Bytes of this process's heap that are not young. */
function oldSpaceBytes(): number {
  let bytes = 0;
  for (const { space_name: name, space_used_size: used } of getHeapSpaceStatistics())
    if (!YOUNG_SPACES.has(name)) bytes += used;
  return bytes;
}

/**
 * Resident memory of this process that is its own, bytes: without pages of mapped files (LMDB's stores, node's
 * executable), which the kernel takes back when it needs them and a restart would not save. Where the kernel does
 * not tell them apart (not Linux), all resident memory.
 */
export function ownResidentBytes(): number {
  try {
    return parseOwnResident(readFileSync('/proc/self/status', 'utf8')) ?? process.memoryUsage.rss();
  } catch {
    return process.memoryUsage.rss();
  }
}

/** RssAnon and RssShmem of `/proc/<pid>/status` (proc_pid_status(5)), bytes; undefined where they are missing. */
export function parseOwnResident(status: string): number | undefined {
  const kib = (field: string) => {
    const found = new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const anonymous = kib('RssAnon');
  return anonymous === undefined ? undefined : (anonymous + (kib('RssShmem') ?? 0)) * 1_024;
}

/** What a look at the memory of a process sees. */
export interface MemoryLook {
  /** Own resident memory, bytes. */
  readonly residentBytes: number;
  /** Used part of V8's old space, 0…1. */
  readonly oldSpaceShare: number;
}

/** Counts looks above a limit. */
export class MemoryLimit {
  readonly #limitBytes: number;
  #over = 0;

  /** @param limitMb MiB. */
  constructor(limitMb: number) {
    this.#limitBytes = limitMb * MIB;
  }

  /** @returns whether this was the third look in a row above the limit, or at an old space that is nearly full. */
  isExceeded({ residentBytes, oldSpaceShare }: MemoryLook): boolean {
    const over = residentBytes > this.#limitBytes || oldSpaceShare > OLD_SPACE_FULL_SHARE;
    this.#over = over ? this.#over + 1 : 0;
    return this.#over >= LOOKS_OVER_LIMIT;
  }
}

/**
 * Looks at this process's memory every `everyMs`, as started with `heapFlags(limitMb)`. Keeps no process alive.
 * @returns resolves with the reason, for people, once the limit has been exceeded; never otherwise.
 */
export function untilMemoryExceeded(limitMb: number, everyMs: number): Promise<string> {
  const limit = new MemoryLimit(limitMb);
  const oldSpaceLimit = oldSpaceMb(limitMb) * MIB;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const oldSpace = oldSpaceBytes();
      const residentBytes = ownResidentBytes();
      if (!limit.isExceeded({ residentBytes, oldSpaceShare: oldSpace / oldSpaceLimit })) return;
      clearInterval(timer);
      const mb = (bytes: number) => Math.round(bytes / MIB);
      const { external, heapUsed } = process.memoryUsage();
      const old = `old ${mb(oldSpace)} of ${mb(oldSpaceLimit)}`;
      const parts = `heap ${mb(heapUsed)}, ${old}, buffers ${mb(external)}`;
      resolve(`memory: ${mb(residentBytes)} MiB resident (${parts}), the limit is ${limitMb} MiB`);
    }, everyMs).unref();
  });
}
