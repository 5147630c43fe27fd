import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
} from '@aws-sdk/client-s3';
import PQueue from 'p-queue';
import { ReachflowError } from '../errors.ts';
import type { S3Config } from './config.ts';
import { withFile } from './file-transfer.ts';
import { isMissing, s3Error } from './s3-errors.ts';
import { PoolSha256 } from './s3-hash.ts';
import { downloadObject, type ObjectVersion, type S3Place, uploadFile } from './s3-transfer.ts';
import {
  type CheckpointStorage,
  checkKey,
  checkPrefix,
  type FileDigest,
  MAX_LISTED,
  type StoredObject,
  type TransferOptions,
  tooMany,
} from './storage.ts';

const REMOVALS_AT_ONCE = 8;
/** Pages of 1,000 that a listing has, at most. */
const MAX_PAGES = Math.ceil(MAX_LISTED / 1_000) + 1;

/** Checkpoints as objects of a bucket, of AWS or of any service with its API. */
export class S3Storage implements CheckpointStorage {
  readonly location: string;
  readonly stagingDir = undefined;
  readonly #config: S3Config;
  readonly #client: S3Client;
  readonly #prefix: string;

  /**
   * Connects to nothing. @throws ReachflowError `CHECKPOINT_STORAGE_INVALID` when settings are missing.
   * @param section of the configuration, for errors.
   */
  constructor(config: S3Config, section = 'checkpoint.s3') {
    checkSettings(config, section);
    this.#config = config;
    this.#prefix = config.prefix === '' ? '' : `${config.prefix}/`;
    this.location = `s3://${config.bucket}/${this.#prefix}`;
    const { accessKeyId, secretAccessKey, requestTimeoutMs, endpoint } = config;
    this.#client = new S3Client({
      region: config.region,
      forcePathStyle: config.forcePathStyle,
      maxAttempts: config.maxAttempts,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(accessKeyId === '' ? {} : { credentials: { accessKeyId, secretAccessKey } }),
      requestHandler: {
        connectionTimeout: Math.min(requestTimeoutMs, 10_000),
        requestTimeout: requestTimeoutMs,
        socketTimeout: requestTimeoutMs,
        throwOnRequestTimeout: true,
      },
      sha256: PoolSha256,
      // Many services know none of the newer checksums, and each file has its SHA-256 in the manifest.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  #place(key: string): S3Place {
    checkKey(key);
    return { client: this.#client, bucket: this.#config.bucket, key: `${this.#prefix}${key}` };
  }

  #transfer(options: TransferOptions) {
    return { ...options, partBytes: this.#config.partBytes };
  }

  putFile(key: string, path: string, options: TransferOptions = {}): Promise<FileDigest> {
    return this.#guard(`write ${key}`, options.signal, () =>
      withFile(path, 'r', (file) => uploadFile(this.#place(key), file, this.#transfer(options))),
    );
  }

  putBytes(key: string, bytes: Buffer): Promise<void> {
    return this.#guard(`write ${key}`, undefined, async () => {
      const { bucket: Bucket, key: Key } = this.#place(key);
      await this.#client.send(new PutObjectCommand({ Bucket, Key, Body: bytes }));
    });
  }

  getFile(
    key: string,
    path: string,
    options: TransferOptions = {},
  ): Promise<FileDigest | undefined> {
    return this.#read(key, options, async (place, version) =>
      withFile(path, 'wx', async (file) => {
        const digest = await downloadObject(
          place,
          version,
          this.#transfer(options),
          async (part, start) => {
            await file.write(part, 0, part.length, start);
          },
        );
        await file.sync();
        return digest;
      }),
    );
  }

  digest(key: string, options: TransferOptions = {}): Promise<FileDigest | undefined> {
    return this.#read(key, options, (place, version) =>
      downloadObject(place, version, this.#transfer(options), async () => undefined),
    );
  }

  #read<T>(
    key: string,
    { signal }: TransferOptions,
    work: (place: S3Place, version: ObjectVersion) => Promise<T>,
  ): Promise<T | undefined> {
    return this.#guard(`read ${key}`, signal, async () => {
      try {
        const place = this.#place(key);
        const { bucket: Bucket, key: Key } = place;
        const head = await this.#client.send(new HeadObjectCommand({ Bucket, Key }));
        return await work(place, { bytes: head.ContentLength ?? 0, etag: head.ETag });
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  getBytes(key: string, maxBytes: number): Promise<Buffer | undefined> {
    return this.#guard(`read ${key}`, undefined, async () => {
      try {
        const { bucket: Bucket, key: Key } = this.#place(key);
        const { Body, ContentLength } = await this.#client.send(
          new GetObjectCommand({ Bucket, Key }),
        );
        if (Body === undefined || (ContentLength ?? 0) > maxBytes) {
          throw tooLarge(key, ContentLength ?? 0, maxBytes);
        }
        return Buffer.from(await Body.transformToByteArray());
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  list(prefix: string): Promise<StoredObject[]> {
    if (prefix !== '') checkPrefix(prefix);
    return this.#guard(`list ${prefix}`, undefined, async () => {
      const found: StoredObject[] = [];
      let next: string | undefined;
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const command = new ListObjectsV2Command({
          Bucket: this.#config.bucket,
          Prefix: `${this.#prefix}${prefix}`,
          ...(next === undefined ? {} : { ContinuationToken: next }),
        });
        const { Contents = [], NextContinuationToken } = await this.#client.send(command);
        for (const { Key = '', Size = 0, LastModified } of Contents) {
          const key = Key.slice(this.#prefix.length);
          found.push({ key, bytes: Size, modifiedMs: LastModified?.getTime() ?? 0 });
        }
        if (found.length > MAX_LISTED) break;
        if (NextContinuationToken === undefined) return found;
        next = NextContinuationToken;
      }
      throw tooMany(this.location);
    });
  }

  directories(prefix: string): Promise<string[]> {
    if (prefix !== '') checkPrefix(prefix);
    return this.#guard(`list ${prefix}`, undefined, async () => {
      const found: string[] = [];
      const Prefix = `${this.#prefix}${prefix}`;
      for await (const page of paginateListObjectsV2(
        { client: this.#client },
        { Bucket: this.#config.bucket, Prefix, Delimiter: '/' },
      )) {
        for (const { Prefix: below = '' } of page.CommonPrefixes ?? [])
          found.push(below.slice(Prefix.length, -1));
        if (found.length > MAX_LISTED) throw tooMany(this.location);
      }
      // The service orders them with the / behind.
      return found.sort();
    });
  }

  remove(key: string): Promise<void> {
    return this.#guard(`remove ${key}`, undefined, async () => {
      const { bucket: Bucket, key: Key } = this.#place(key);
      await this.#client.send(new DeleteObjectCommand({ Bucket, Key }));
    });
  }

  async removePrefix(prefix: string): Promise<void> {
    // One by one: not every service takes a list.
    const queue = new PQueue({ concurrency: REMOVALS_AT_ONCE });
    const objects = await this.list(prefix);
    await queue.addAll(
      objects.map(
        ({ key }) =>
          () =>
            this.remove(key),
      ),
    );
    await this.removeUnfinished(prefix, Number.POSITIVE_INFINITY);
  }

  removeUnfinished(prefix: string, beforeMs: number): Promise<void> {
    checkPrefix(prefix);
    return this.#guard(`clean ${prefix}`, undefined, async () => {
      const Bucket = this.#config.bucket;
      // The first page is enough: the next pruning sees the next one.
      const { Uploads = [] } = await this.#client.send(
        new ListMultipartUploadsCommand({ Bucket, Prefix: `${this.#prefix}${prefix}` }),
      );
      for (const { Key, UploadId, Initiated } of Uploads) {
        if ((Initiated?.getTime() ?? 0) >= beforeMs) continue;
        const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId });
        await this.#client.send(abort).catch((error: unknown) => {
          if (!isMissing(error)) throw error;
        });
      }
    });
  }

  close(): void {
    this.#client.destroy();
  }

  async #guard<T>(
    what: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw s3Error(error, `cannot ${what} in ${this.location}`, signal);
    }
  }
}

function checkSettings({ bucket, accessKeyId, secretAccessKey }: S3Config, section: string): void {
  const problem =
    bucket === ''
      ? `${section}.bucket is not set`
      : (accessKeyId === '') !== (secretAccessKey === '')
        ? `of ${section}.accessKeyId and ${section}.secretAccessKey one is set, the other is not`
        : undefined;
  if (problem === undefined) return;
  throw new ReachflowError(problem, {
    code: 'CHECKPOINT_STORAGE_INVALID',
    domain: 'user',
    hint: 'Set it, or choose another place than S3.',
  });
}

function tooLarge(key: string, bytes: number, maxBytes: number): ReachflowError {
  return new ReachflowError(`${key} has ${bytes} bytes; at most ${maxBytes} were expected`, {
    code: 'CHECKPOINT_CORRUPT',
    domain: 'external',
  });
}
