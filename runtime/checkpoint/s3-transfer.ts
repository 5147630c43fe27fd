import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { updateInPieces } from './file-transfer.ts';
import { type FileDigest, type TransferOptions, throwIfAborted } from './storage.ts';

/** An object of a bucket. */
export interface S3Place {
  readonly client: S3Client;
  readonly bucket: string;
  readonly key: string;
}

export interface S3TransferOptions extends TransferOptions {
  /** Files and objects are moved in parts of this size. */
  readonly partBytes: number;
}

const PARTS_AT_ONCE = 3;
/** Limit of S3: larger files get larger parts. */
const MAX_PARTS = 10_000;
/** The client repeats requests, but not the reading of an answer's body. */
const READ_ATTEMPTS = 3;

interface Part {
  readonly number: number;
  readonly start: number;
  readonly bytes: number;
}

function partsOf(bytes: number, partBytes: number): Part[] {
  const size = Math.max(partBytes, Math.ceil(bytes / MAX_PARTS));
  return Array.from({ length: Math.ceil(bytes / size) }, (_, index) => ({
    number: index + 1,
    start: index * size,
    bytes: Math.min(size, bytes - index * size),
  }));
}

/**
 * Stores an open file under a key: in one request, or in parts when it is larger than one. Bodies are buffers, not
 * streams: those cannot be sent a second time.
 * @returns the digest of what was sent. @throws what the client throws, or ReachflowError `CHECKPOINT_ABORTED`.
 */
export async function uploadFile(
  place: S3Place,
  file: FileHandle,
  options: S3TransferOptions,
): Promise<FileDigest> {
  const { size } = await file.stat();
  const hash = createHash('sha256');
  if (size <= options.partBytes) {
    const { client, bucket: Bucket, key: Key } = place;
    const body = await readPart(file, 0, size, hash);
    const command = new PutObjectCommand({ Bucket, Key, Body: body, ContentLength: size });
    await client.send(command, abortable(options.signal));
    options.onBytes?.(size);
  } else {
    await uploadInParts(place, file, partsOf(size, options.partBytes), hash, options);
  }
  return { bytes: size, sha256: hash.digest('hex') };
}

/** @throws Error when the file is shorter than it was. */
async function readPart(
  file: FileHandle,
  start: number,
  bytes: number,
  hash: Hash,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(bytes);
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, at, bytes - at, start + at);
    if (bytesRead === 0) throw new Error('a file became shorter while it was read');
    at += bytesRead;
  }
  await updateInPieces(hash, buffer);
  return buffer;
}

async function uploadInParts(
  { client, bucket: Bucket, key: Key }: S3Place,
  file: FileHandle,
  parts: readonly Part[],
  hash: Hash,
  { signal, onBytes }: S3TransferOptions,
): Promise<void> {
  const create = new CreateMultipartUploadCommand({ Bucket, Key });
  const { UploadId } = await client.send(create, abortable(signal));
  try {
    const done: CompletedPart[] = [];
    const begin = async (part: Part, partSignal: AbortSignal) => {
      const { number: PartNumber, start, bytes: ContentLength } = part;
      // Parts are read in the file's order, for the hash; the sending of one runs beside the reading of the next.
      const Body = await readPart(file, start, ContentLength, hash);
      const upload = { Bucket, Key, UploadId, PartNumber, Body, ContentLength };
      const sent = client.send(new UploadPartCommand(upload), abortable(partSignal));
      return { value: sent.then(({ ETag }) => ({ ETag, PartNumber, ContentLength })) };
    };
    await inWindow(parts, signal, begin, async ({ ETag, PartNumber, ContentLength }) => {
      done.push({ ETag, PartNumber });
      onBytes?.(ContentLength);
    });
    const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts: done } };
    await client.send(new CompleteMultipartUploadCommand(complete), abortable(signal));
  } catch (error) {
    // Else the parts stay, unseen and paid for, until pruning ends the upload.
    const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId });
    await client.send(abort).catch(() => undefined);
    throw error;
  }
}

/**
 * Begins work on each item in order, with a few under way at a time.
 * @param begin resolves when the next one may begin, to a promise of the result; once it fails, all are aborted.
 */
async function inWindow<T, R>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  begin: (item: T, signal: AbortSignal) => Promise<{ readonly value: Promise<R> }>,
  onResult: (result: R) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any(signal === undefined ? [failed.signal] : [failed.signal, signal]);
  const window: Promise<R>[] = [];
  const settleOldest = async (): Promise<void> => {
    const oldest = window.shift();
    if (oldest !== undefined) await onResult(await oldest);
  };
  try {
    for (const item of items) {
      throwIfAborted(signal);
      if (window.length >= PARTS_AT_ONCE) await settleOldest();
      const { value } = await begin(item, either);
      // It is awaited in its turn; should it fail before that, it is no unhandled rejection.
      value.catch(() => undefined);
      window.push(value);
    }
    while (window.length > 0) await settleOldest();
  } catch (error) {
    failed.abort();
    await Promise.allSettled(window);
    throw error;
  }
}

/** Size and version of an object. */
export interface ObjectVersion {
  readonly bytes: number;
  readonly etag: string | undefined;
}

/**
 * Reads an object in its order, a few parts ahead, and hands each to `onPart`.
 * @returns the digest of what was read. @throws what the client throws, or ReachflowError `CHECKPOINT_ABORTED`.
 */
export async function downloadObject(
  place: S3Place,
  { bytes, etag }: ObjectVersion,
  options: S3TransferOptions,
  onPart: (part: Buffer, start: number) => Promise<void>,
): Promise<FileDigest> {
  const hash = createHash('sha256');
  let at = 0;
  await inWindow<Part, Buffer>(
    partsOf(bytes, options.partBytes),
    options.signal,
    async (part, signal) => ({ value: downloadPart(place, part, etag, signal) }),
    async (part) => {
      await updateInPieces(hash, part);
      await onPart(part, at);
      at += part.length;
      options.onBytes?.(part.length);
    },
  );
  return { bytes: at, sha256: hash.digest('hex') };
}

async function downloadPart(
  { client, bucket: Bucket, key: Key }: S3Place,
  { start, bytes }: Part,
  etag: string | undefined,
  signal: AbortSignal,
): Promise<Buffer> {
  const Range = `bytes=${start}-${start + bytes - 1}`;
  const input = { Bucket, Key, Range, ...(etag === undefined ? {} : { IfMatch: etag }) };
  for (let attempt = 1; ; attempt += 1) {
    const { Body } = await client.send(new GetObjectCommand(input), abortable(signal));
    try {
      const buffer = Buffer.from((await Body?.transformToByteArray()) ?? []);
      if (buffer.length === bytes) return buffer;
      if (attempt >= READ_ATTEMPTS) throw new Error(`${Range} has ${buffer.length} bytes`);
    } catch (error) {
      if (attempt >= READ_ATTEMPTS || signal.aborted) throw error;
    }
  }
}

function abortable(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { abortSignal: signal };
}
