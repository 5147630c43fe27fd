import { readdirSync, readFileSync } from 'node:fs';

/**
 * A process that cannot be mistaken for a later one with the same pid: the kernel gives each process its start
 * time (field 22 of `/proc/<pid>/stat`, clock ticks since boot), and each boot an id.
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
  readonly bootId: string;
}

export interface ProcessStat {
  readonly pid: number;
  readonly state: string;
  readonly parentPid: number;
  readonly startTicks: string;
  /** Threads that have not ended, the first one included. */
  readonly threads: number;
}

/**
 * Parse a line of `/proc/<pid>/stat` (proc_pid_stat(5)). The command name may hold spaces and parentheses, so
 * fields are counted from the last closing one.
 */
export function parseStat(line: string): ProcessStat | undefined {
  const close = line.lastIndexOf(')');
  const pid = Number.parseInt(line, 10);
  if (close < 0 || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const fields = line
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  const [state, parent] = fields;
  const startTicks = fields[19];
  if (state === undefined || startTicks === undefined || !/^\d+$/.test(startTicks))
    return undefined;
  return { pid, state, parentPid: Number(parent), startTicks, threads: Number(fields[17]) };
}

/** The id of this boot of the kernel. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The identity of a running process; undefined when there is none with this pid. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat === undefined
    ? undefined
    : { pid: stat.pid, startTicks: stat.startTicks, bootId: readBootId() };
}

/**
 * Does this very process still run? A zombie has ended: only its parent has not looked yet. But while other
 * threads of it are still ending, it holds its ports and files.
 */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  if (stat === undefined || stat.startTicks !== identity.startTicks) return false;
  const ended = stat.state === 'X' || (stat.state === 'Z' && stat.threads <= 1);
  return !ended && readBootId() === identity.bootId;
}

/**
 * Send a signal to this very process; false when it no longer runs.
 * @throws Error `EPERM` when it belongs to another user.
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * Memory of a process and its children in bytes: proportional where the kernel tells (shared pages counted
 * once), resident otherwise. Undefined when the process is gone.
 */
export function memoryBytes(pid: number): number | undefined {
  if (readStat(pid) === undefined) return undefined;
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((stat) => stat?.parentPid === pid)
    .map((stat) => stat?.pid ?? 0);
  return [pid, ...children].reduce((sum, one) => sum + ownMemoryBytes(one), 0);
}

function ownMemoryBytes(pid: number): number {
  return (
    readKilobytes(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+) kB$/m) ??
    readKilobytes(`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB$/m) ??
    0
  );
}

function readKilobytes(file: string, pattern: RegExp): number | undefined {
  try {
    const kilobytes = pattern.exec(readFileSync(file, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
