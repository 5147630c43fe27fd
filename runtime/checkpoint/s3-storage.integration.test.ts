import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProxyTo, type TcpProxy } from '../../tests/support/tcp-proxy.ts';
import { checkpointsOf } from './catalog.ts';
import { checkpointConfigSchema, type S3Config } from './config.ts';
import { describeStorageConformance } from './conformance.ts';
import { contentsAt, filesIn, TASK, write } from './fixtures.ts';
import { pruneCheckpoints } from './prune.ts';
import { restoreCheckpoint } from './restore.ts';
import { S3Storage } from './s3-storage.ts';
import { provisionS3Server, type S3Server, startS3Server } from './testing/s3-server.ts';

const PART = 5_242_880;
const provisioned = await provisionS3Server();
const program = 'program' in provisioned ? provisioned.program : undefined;
const why = 'missing' in provisioned ? ` (skipped: ${provisioned.missing})` : '';

describe.skipIf(program === undefined)(`S3${why}`, () => {
  let server: S3Server;
  let proxy: TcpProxy;
  let dir: string;
  let client: S3Client;

  beforeAll(async () => {
    server = await startS3Server(program ?? '');
    proxy = await startProxyTo(server.endpoint, 80);
    dir = await mkdtemp(join(tmpdir(), 'reachflow-s3-test-'));
    const { endpoint, accessKeyId, secretAccessKey } = server;
    const credentials = { accessKeyId, secretAccessKey };
    client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  });
  afterAll(async () => {
    client.destroy();
    await proxy.close();
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const configOf = (prefix: string, changes: Partial<S3Config> = {}): S3Config => {
    const { endpoint, accessKeyId, secretAccessKey, bucket } = server;
    const access = { endpoint, accessKeyId, secretAccessKey, bucket, forcePathStyle: true };
    const parsed = checkpointConfigSchema.parse({ s3: { ...access, prefix, partBytes: PART } });
    return { ...parsed.s3, ...changes };
  };

  describeStorageConformance('s3', async () => {
    const storage = new S3Storage(configOf('conformance/of-this'));
    const Bucket = server.bucket;
    return {
      storage,
      async interruptPut(prefix) {
        const Key = `conformance/of-this/${prefix}data.mdb`;
        await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
      },
      async hasRemains(prefix) {
        const Prefix = `conformance/of-this/${prefix}`;
        const { Uploads = [] } = await client.send(
          new ListMultipartUploadsCommand({ Bucket, Prefix }),
        );
        return Uploads.length > 0;
      },
      async destroy() {
        storage.close();
      },
    };
  }, [0, 1, PART, PART + 1, 4 * PART + 12_345]);

  it('writes, prunes and restores checkpoints, in a bucket that others use, too', async () => {
    const storage = new S3Storage(configOf('a'));
    const other = new S3Storage(configOf('ab'));
    await write(other, 5n);
    for (const offset of [10n, 20n, 30n]) {
      await write(storage, offset);
      const policy = { keep: 2, reached: offset, now: Date.now() };
      await pruneCheckpoints(storage, TASK, policy);
    }
    const offsets = (await checkpointsOf(storage, TASK)).map(
      ({ changelogOffset }) => changelogOffset,
    );
    expect(offsets).toEqual([30n, 20n]);
    const target = join(dir, 'restored');
    expect((await restoreCheckpoint(storage, TASK, target))?.changelogOffset).toBe(30n);
    expect(await filesIn(target)).toEqual(contentsAt(30n));
    expect((await checkpointsOf(other, TASK)).length).toBe(1);
    storage.close();
    other.close();
  });

  it('survives that connections break while a file is moved', async () => {
    const { host, port } = proxy;
    const storage = new S3Storage(configOf('breaks', { endpoint: `http://${host}:${port}` }));
    const bytes = randomBytes(6 * PART);
    const path = join(dir, 'large');
    await writeFile(path, bytes);
    let breaks = 0;
    const breakOnce = (): void => {
      if (breaks >= 2) return;
      breaks += 1;
      void proxy.cut().then(() => proxy.restore());
    };
    const stored = await storage.putFile('a/data.mdb', path, { onBytes: breakOnce });
    breaks = 0;
    const back = join(dir, 'back');
    expect(await storage.getFile('a/data.mdb', back, { onBytes: breakOnce })).toEqual(stored);
    expect(breaks).toBe(2);
    expect((await readFile(back)).equals(bytes)).toBe(true);
    storage.close();
  });

  it('gives up on a server that is away or hangs, to try again later', async () => {
    const { host, port } = proxy;
    const changes = { endpoint: `http://${host}:${port}`, maxAttempts: 2, requestTimeoutMs: 300 };
    const storage = new S3Storage(configOf('away', changes));
    const expected = { code: 'CHECKPOINT_STORAGE_UNAVAILABLE', retry: 'backoff' };
    await proxy.cut();
    await expect(storage.list('')).rejects.toMatchObject(expected);
    await proxy.restore();
    await storage.putBytes('a/b', Buffer.from('x'));
    proxy.freeze();
    await expect(storage.getBytes('a/b', 10)).rejects.toMatchObject(expected);
    proxy.thaw();
    expect((await storage.getBytes('a/b', 10))?.toString()).toBe('x');
    storage.close();
  });

  it.each([
    ['a bucket that is not there', { bucket: 'not-there' }, /NoSuchBucket/],
    ['a wrong secret', { secretAccessKey: 'wrong' }, /SignatureDoesNotMatch/],
    ['a wrong key', { accessKeyId: 'nobody' }, /InvalidAccessKeyId|UserNotFound/],
  ])('says that %s is a matter of settings', async (_name, changes, says) => {
    const storage = new S3Storage(configOf('wrong', changes));
    const attempts = [
      () => storage.list(''),
      () => storage.putBytes('a/b', Buffer.from('x')),
      () => storage.getBytes('a/b', 10),
    ];
    for (const attempt of attempts) {
      await expect(attempt()).rejects.toMatchObject({
        code: 'CHECKPOINT_STORAGE_INVALID',
        domain: 'user',
        retry: 'none',
        message: expect.stringMatching(says),
      });
    }
    storage.close();
  });
});

describe('S3Storage', () => {
  it.each([
    [{ bucket: '' }, /bucket is not set/],
    [{ bucket: 'b', accessKeyId: 'a' }, /one is set, the other is not/],
  ])('refuses settings that cannot work: %o', (s3, says) => {
    const config = checkpointConfigSchema.parse({ s3 }).s3;
    expect(() => new S3Storage(config)).toThrow(says);
  });
});
