import { closeSync, linkSync, openSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { errorCode, ReachflowError } from '../errors.ts';

/** Holds a directory for this process. */
export interface DirectoryLock {
  release(): Promise<void>;
}

const LOCK_FILE = 'lock.sock';
const ATTEMPTS = 5;
const CONNECT_MS = 1_000;

/**
 * Locks a directory by a Unix socket in it that somebody listens on. The kernel ends that with the process, however
 * it ends, and it works between containers that share the directory on one host. Hosts that share a directory over a
 * network do not see each other: state directories must not be shared so (nor does LMDB allow it).
 * @throws ReachflowError `STATE_LOCKED` (retry: backoff).
 */
export async function lockDirectory(dir: string): Promise<DirectoryLock> {
  const place = new SocketPlace(dir);
  try {
    const own = `lock.${process.pid}.${Math.random().toString(36).slice(2)}`;
    const server = await listen(place.path(own));
    try {
      await claim(place, own, dir);
    } catch (error) {
      await close(server);
      throw error;
    } finally {
      rmSync(join(dir, own), { force: true });
    }
    return {
      release: async () => {
        rmSync(join(dir, LOCK_FILE), { force: true });
        await close(server);
      },
    };
  } finally {
    place.close();
  }
}

/** Names the listening socket as the lock: linking fails when there is one already. */
async function claim(place: SocketPlace, own: string, dir: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    try {
      linkSync(join(dir, own), join(dir, LOCK_FILE));
      return;
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    if (await isListening(place.path(LOCK_FILE))) break;
    await removeStale(place, `${own}.stale`, dir);
  }
  throw new ReachflowError(`${dir} is in use by another process`, {
    code: 'STATE_LOCKED',
    domain: 'user',
    retry: 'backoff',
    hint: 'Give each process a state directory of its own, or end the other one.',
  });
}

/** Takes a lock away that nobody holds; puts it back when, in this moment, somebody else has taken it. */
async function removeStale(place: SocketPlace, aside: string, dir: string): Promise<void> {
  try {
    renameSync(join(dir, LOCK_FILE), join(dir, aside));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  try {
    if (await isListening(place.path(aside))) linkSync(join(dir, aside), join(dir, LOCK_FILE));
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    rmSync(join(dir, aside), { force: true });
  }
}

/** Paths of sockets may have about 100 bytes only, so Linux is given them by way of an open directory. */
class SocketPlace {
  readonly #dir: string;
  readonly #handle: number | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    this.#handle = process.platform === 'linux' ? openSync(dir, 'r') : undefined;
  }

  path(name: string): string {
    return this.#handle === undefined
      ? join(this.#dir, name)
      : `/proc/self/fd/${this.#handle}/${name}`;
  }

  close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
  }
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    // `exclusive`: in a worker of Node's cluster the supervisor would listen, and all workers would share the lock.
    // Unreferenced: the lock must not keep a process alive that has nothing else to do.
    server.listen({ path, exclusive: true }, () => resolve(server.unref()));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (listening: boolean) => {
      socket.destroy();
      resolve(listening);
    };
    // A process that is stopped, or busy for long, still has the lock.
    socket.setTimeout(CONNECT_MS, () => done(true));
    socket.once('connect', () => done(true));
    socket.once('error', (error) => {
      const code = errorCode(error);
      done(code !== 'ECONNREFUSED' && code !== 'ENOENT');
    });
  });
}
