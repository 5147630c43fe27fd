import { readdirSync, readFileSync } from 'node:fs';
import { ReachflowError } from '../../runtime/errors.ts';

/** What a process and its descendants have used so far. */
export interface Usage {
  /** CPU time of all threads, user and system, s. */
  readonly cpuSeconds: number;
  /** The largest resident size that any of them had, summed, MiB. */
  readonly peakMiB: number;
  /** What of it is resident now, MiB; mapped files count as far as they are in memory. */
  readonly residentMiB: number;
  /** Of that, what belongs to no file, MiB. */
  readonly anonymousMiB: number;
}

/** USER_HZ: what Linux counts CPU time in, towards programs 100 per second on every architecture that we run on. */
const TICKS_PER_SECOND = 100;
/** Positions in /proc/<pid>/stat behind the name, which may itself hold spaces (proc(5)). */
const PARENT = 1;
const UTIME = 11;
const STIME = 12;

function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Fields of /proc/<pid>/status, kB. */
function memoryOf(pid: number): { peak: number; resident: number; anonymous: number } {
  let status = '';
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    // It has ended.
  }
  const kib = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return { peak: kib('VmHWM'), resident: kib('VmRSS'), anonymous: kib('RssAnon') };
}

/** The process and all that descend from it. */
function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? Number(statOf(pid)?.[PARENT]) : Number.NaN;
    if (!Number.isNaN(parent)) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [root];
  for (let at = 0; at < tree.length; at += 1) tree.push(...(children.get(tree[at] ?? -1) ?? []));
  return tree;
}

/**
 * Reads the figures of processes that run, with their descendants. A descendant that has ended is not counted.
 * @throws ReachflowError `NO_PROC` where there is no Linux /proc.
 */
export function usageOf(roots: readonly number[]): Usage {
  if (process.platform !== 'linux') {
    throw new ReachflowError('CPU time and memory of the contestants are read from /proc', {
      code: 'NO_PROC',
      domain: 'user',
      hint: 'Run the benchmarks on Linux.',
    });
  }
  let ticks = 0;
  let [peak, resident, anonymous] = [0, 0, 0];
  for (const pid of new Set(roots.flatMap(treeOf))) {
    const stat = statOf(pid);
    ticks += Number(stat?.[UTIME] ?? 0) + Number(stat?.[STIME] ?? 0);
    const memory = memoryOf(pid);
    peak += memory.peak;
    resident += memory.resident;
    anonymous += memory.anonymous;
  }
  return {
    cpuSeconds: ticks / TICKS_PER_SECOND,
    peakMiB: peak / 1_024,
    residentMiB: resident / 1_024,
    anonymousMiB: anonymous / 1_024,
  };
}

/** CPU time of a process without its descendants, s: cheap enough to be asked often. 0 once it has ended. */
export function cpuSecondsOf(pid: number): number {
  const stat = statOf(pid);
  return (Number(stat?.[UTIME] ?? 0) + Number(stat?.[STIME] ?? 0)) / TICKS_PER_SECOND;
}

/** The process that started it, when it runs on this machine under that name; undefined otherwise. */
export function parentOf(pid: number, name: string): number | undefined {
  try {
    if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() !== name) return undefined;
  } catch {
    return undefined;
  }
  const parent = Number(statOf(pid)?.[PARENT]);
  return Number.isNaN(parent) ? undefined : parent;
}
