import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { defaultCacheDir } from '../../../compose/config.ts';
import { errorMessage } from '../../errors.ts';

/** Pinned: the Go checksum database holds what this version is. */
const MODULE = 'github.com/versity/versitygw/cmd/versitygw';
const VERSION = 'v1.8.0';
const BUILD_TIMEOUT_MS = 900_000;
const START_TIMEOUT_MS = 30_000;

/** The server's program, or why it is not to be had. */
export type Provisioned = { readonly program: string } | { readonly missing: string };

/** Builds versitygw, an S3 server over a directory, once per user: with Go, in two or three minutes. */
export async function provisionS3Server(): Promise<Provisioned> {
  const cacheDir = process.env['REACHFLOW_STACK_CACHE_DIR'] ?? defaultCacheDir();
  const home = join(cacheDir, `versitygw-${VERSION}`);
  const program = join(home, 'versitygw');
  if (existsSync(program)) return { program };
  const run = promisify(execFile);
  try {
    await run('go', ['version']);
  } catch {
    return { missing: 'Go is not installed; it builds the S3 server' };
  }
  await mkdir(cacheDir, { recursive: true });
  const building = await mkdtemp(join(cacheDir, 'versitygw-building-'));
  try {
    process.stderr.write(`building versitygw ${VERSION}, once: this takes minutes\n`);
    await run('go', ['install', '-trimpath', `${MODULE}@${VERSION}`], {
      env: { ...process.env, GOBIN: building },
      timeout: BUILD_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    // Another run may have been faster: its program is the same.
    await rename(building, home).catch(() => undefined);
    return { program };
  } catch (error) {
    return { missing: `Go could not build the S3 server: ${errorMessage(error)}` };
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}

export interface S3Server {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly bucket: string;
  /** Ends its process and removes its data. */
  stop(): Promise<void>;
}

/** Starts a server with an empty bucket, on a port of its own. @throws Error when it does not come up. */
export async function startS3Server(program: string): Promise<S3Server> {
  const dir = await mkdtemp(join(tmpdir(), 'reachflow-s3-'));
  for (const name of ['data', 'meta']) await mkdir(join(dir, name));
  const address = `127.0.0.1:${await freePort()}`;
  const [accessKeyId, secretAccessKey, bucket] = ['test-access', 'test-secret', 'checkpoints'];
  const args = ['--port', address, '--quiet', '--keep-alive'];
  const child = spawn(
    program,
    // Metadata beside the data, as not every temporary directory has extended attributes.
    [...args, 'posix', '--sidecar', join(dir, 'meta'), join(dir, 'data')],
    {
      stdio: 'ignore',
      env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey, HOME: dir },
    },
  );
  const killed = (): void => void child.kill('SIGKILL');
  process.once('exit', killed);
  const server: S3Server = {
    endpoint: `http://${address}`,
    accessKeyId,
    secretAccessKey,
    bucket,
    async stop() {
      process.off('exit', killed);
      await end(child);
      await rm(dir, { recursive: true, force: true });
    },
  };
  try {
    await createBucket(server, child);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function createBucket(
  { endpoint, accessKeyId, secretAccessKey, bucket }: S3Server,
  child: ChildProcess,
): Promise<void> {
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  });
  const end = Date.now() + START_TIMEOUT_MS;
  try {
    for (;;) {
      try {
        await client.send(new CreateBucketCommand({ Bucket: bucket }));
        return;
      } catch (error) {
        if (child.exitCode !== null) throw new Error(`versitygw ended with ${child.exitCode}`);
        if (Date.now() > end) throw error;
        await sleep(50);
      }
    }
  } finally {
    client.destroy();
  }
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
