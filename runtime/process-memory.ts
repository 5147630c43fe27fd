/** Malloc arenas of a process that moves records. */
const ARENAS = '2';

/**
 * Environment of such a process, read by the C library when it starts. glibc gives threads up to eight arenas per core,
 * and each keeps what was freed in it: buffers that come in one thread and go in another then grow a worker for as long
 * as it runs, most of all after a store was away (mallopt(3), M_ARENA_MAX). Who sets it decides; other libraries pass it
 * over.
 */
export function allocatorEnvironment(
  env: Readonly<NodeJS.ProcessEnv> = process.env,
): Record<string, string> {
  return { MALLOC_ARENA_MAX: env['MALLOC_ARENA_MAX'] ?? ARENAS };
}

/** Whether an option of Node sizes V8's heap. */
export function sizesHeap(option: string): boolean {
  return /^--max[-_](old|semi)[-_]space[-_]size/.test(option);
}

/**
 * Flags of Node for a process that reads files of any size: rows die young, so a small young space does, and a heap that
 * may grow as it likes would take several times as much as is alive in it.
 */
export const STREAMING_HEAP: readonly string[] = [
  '--max-old-space-size=128',
  '--max-semi-space-size=6',
];
