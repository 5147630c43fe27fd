import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, ReachflowError } from '../../runtime/errors.ts';

/**
 * Mutual exclusion between processes of one machine, by binding a Unix socket in Linux's abstract namespace
 * (unix(7)). The kernel releases it when its holder ends, however it ends: no lock can be stale, and there is
 * no file to clean up. Whoever waits may ask the holder for its pid by connecting.
 */
export interface Lock {
  release(): Promise<void>;
}

export interface LockOptions {
  /** Called about once a second while another process holds the lock; its pid, when it answers. */
  readonly onWait?: (holderPid: number | undefined, waitedMs: number) => void;
  readonly signal?: AbortSignal | undefined;
  /** Give up after this, ms. Default 15 min, enough for a cold download by somebody else. */
  readonly timeoutMs?: number;
}

const POLL_MS = 100;
const REPORT_EVERY_MS = 1_000;
const ASK_TIMEOUT_MS = 200;
const DEFAULT_TIMEOUT_MS = 15 * 60_000;

/**
 * Wait for the lock of an existing directory.
 * @throws ReachflowError `STACK_LOCKED` after the timeout, `STACK_ABORTED` when the signal fires first.
 */
export async function acquireLock(directory: string, options: LockOptions = {}): Promise<Lock> {
  // Elsewhere only the Docker engine runs, and Compose orders its own operations.
  if (process.platform !== 'linux') return { release: async () => undefined };
  const name = lockName(directory);
  const began = Date.now();
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  let reportedAt = began;
  for (;;) {
    if (options.signal?.aborted === true) throw aborted();
    const server = await tryBind(name);
    if (server !== undefined) return { release: () => close(server) };
    const waitedMs = Date.now() - began;
    if (waitedMs > timeoutMs) {
      throw new ReachflowError(
        `Another process has been working on ${directory} for ${Math.round(waitedMs / 1000)} s`,
        {
          code: 'STACK_LOCKED',
          domain: 'user',
          retry: 'backoff',
          hint: `It is process ${(await askHolder(name)) ?? 'unknown'}: let it finish, or stop it.`,
        },
      );
    }
    if (options.onWait !== undefined && Date.now() - reportedAt >= REPORT_EVERY_MS) {
      reportedAt = Date.now();
      options.onWait(await askHolder(name), waitedMs);
    }
    await sleep(POLL_MS);
  }
}

/** The error of everything that an `AbortSignal` ended. */
export function aborted(): ReachflowError {
  return new ReachflowError('Interrupted', { code: 'STACK_ABORTED', domain: 'user' });
}

/** The directory's real path and the user decide, so that links to it and other users' stacks are told apart. */
function lockName(directory: string): string {
  const identity = `${process.getuid?.() ?? 0}:${realpathSync(directory)}`;
  return `\0reachflow-${createHash('sha256').update(identity).digest('hex').slice(0, 32)}`;
}

function tryBind(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if (errorCode(error) === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(name, () => {
      server.unref();
      resolve(server);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function askHolder(name: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(name);
    let answer = '';
    const finish = (): void => {
      socket.destroy();
      const pid = Number.parseInt(answer, 10);
      resolve(Number.isSafeInteger(pid) ? pid : undefined);
    };
    socket.setTimeout(ASK_TIMEOUT_MS, finish);
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      answer += String(chunk);
    });
    socket.on('end', finish);
    socket.on('error', finish);
  });
}
