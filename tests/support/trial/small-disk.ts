import { spawnSync } from 'node:child_process';

/** Without root in a user namespace of its own, in which it may mount. */
const UNSHARE = ['unshare', ...(process.getuid?.() === 0 ? [] : ['-U', '-r']), '-m'];

/** Whether a process can have a small disk of its own here: on Linux, as root or with user namespaces. */
export function canMount(): boolean {
  const [command = '', ...args] = UNSHARE;
  return spawnSync(command, [...args, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
}

/**
 * Runs what follows it with a disk of `size` (`96m`) at `dir`, which only it sees, and which is gone when it ends.
 */
export function inSmallDisk(dir: string, size: string): readonly string[] {
  const script = `mount -t tmpfs -o size=${size} tmpfs '${dir}' && exec "$@"`;
  return [...UNSHARE, 'sh', '-c', script, 'sh'];
}

/** The same directory, as seen from outside. */
export function smallDiskPath(pid: number, dir: string): string {
  return `/proc/${pid}/root${dir}`;
}
